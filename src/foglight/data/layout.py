"""Which image belongs to which mask: matching by stem, the path under the folder without its suffix."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from foglight.data.images import IMAGE_SUFFIXES
from foglight.errors import DataError


@final
@dataclass(frozen=True)
class Listing:
    """The files of a folder with images and masks.

    Attributes:
        images: by stem.
        masks: by stem.
    """

    images: Mapping[str, Path]
    masks: Mapping[str, Path]

    @property
    def stems(self) -> tuple[str, ...]:
        """Stems that have both, sorted."""
        return tuple(sorted(self.images.keys() & self.masks.keys()))

    @property
    def images_without_mask(self) -> tuple[str, ...]:
        """Sorted stems."""
        return tuple(sorted(self.images.keys() - self.masks.keys()))

    @property
    def masks_without_image(self) -> tuple[str, ...]:
        """Sorted stems."""
        return tuple(sorted(self.masks.keys() - self.images.keys()))


def list_images(folder: Path, *, suffix: str = "") -> dict[str, Path]:
    """Image files under a folder by stem, in sorted order; `suffix` is cut from the end of each stem.

    Raises:
        DataError: if there is no such folder, or two files share a stem.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", remedy="check data.root; an own folder holds images/ and masks/")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        stem = path.relative_to(folder).with_suffix("").as_posix().removesuffix(suffix)
        if stem in found:
            raise DataError(f"{path} and {found[stem]} share the stem {stem!r}", remedy="remove or rename one of them")
        found[stem] = path
    return found


def list_pairs(images: Path, masks: Path, *, mask_suffix: str = "") -> Listing:
    """The images and masks of two folders.

    Raises:
        DataError: if a folder is missing, or no image has a mask.
    """
    listing = Listing(list_images(images), list_images(masks, suffix=mask_suffix))
    if not listing.stems:
        raise DataError(
            f"no image in {images} has a mask of the same name in {masks}: {len(listing.images)} images such as "
            f"{_example(listing.images)}, {len(listing.masks)} masks such as {_example(listing.masks)}",
            remedy="name a mask like its image, or set data.options.mask_suffix to what masks add to the name",
        )
    return listing


def _example(files: Mapping[str, Path]) -> str:
    return next((path.name for path in files.values()), "(none)")
