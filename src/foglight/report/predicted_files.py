"""What a prediction writes for one image, and whether that would harm a file that is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from foglight.data.image_list import ListedImage
from foglight.engine.uncertainty import Uncertainty
from foglight.errors import ConfigurationError, DataError

SOFT: Final = "_soft.npz"
OVERLAY: Final = "_overlay.png"


def predicted_files(
    name: str, *, overlay: bool, kinds: Sequence[Uncertainty], raw: bool, soft: bool
) -> tuple[str, ...]:
    """Names under the folder of results, the mask's first.

    >>> predicted_files("day/a", overlay=True, kinds=["sigma"], raw=False, soft=True)
    ('day/a.png', 'day/a_overlay.png', 'day/a_sigma.png', 'day/a_sigma_preview.png', 'day/a_soft.npz')
    """
    more = [f"{name}{OVERLAY}"] if overlay else []
    for kind in kinds:
        more += [f"{name}_{kind}.{'npy' if raw else 'png'}", f"{name}_{kind}_preview.png"]
    more += [f"{name}{SOFT}"] if soft else []
    return (f"{name}.png", *more)


def require_harmless(images: Sequence[ListedImage], files: Sequence[Sequence[str]], folder: Path) -> None:
    """Refuse, before anything is written, results that would replace each other or an image that is read.

    Args:
        images: that will be read.
        files: of each image, under the folder.
        folder: of the results.

    Raises:
        DataError: if two images have a result in common.
        ConfigurationError: if a result would replace an image.
    """
    writers: dict[str, ListedImage] = {}
    read = {image.path.resolve() for image in images}
    base = folder.resolve()
    for image, own in zip(images, files, strict=True):
        for file in own:
            other = writers.setdefault(file, image)
            if other is not image:
                raise DataError(
                    f"{other.path} and {image.path} would both be written to {folder / file}",
                    remedy="rename one of them, predict them into folders of their own, or keep their folders apart "
                    "with `--recursive` and the folder above both",
                )
            if base / file in read:
                raise ConfigurationError(
                    f"--output {folder}: {file} would replace the image {base / file}", remedy="give another --output"
                )
