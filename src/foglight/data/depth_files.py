"""Extra channels that lie in files beside the images: depth, disparity, and the maps of `foglight make-depth`.

A file is a 16-bit PNG; what its numbers mean is the business of a `DepthFormat`: value = (number - offset) * unit, and
0 where nothing was measured. A map without a single measured pixel is refused: it is a failed export, and a network
would silently learn from nothing.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foglight.data.dataset import SegmentationDataset
from foglight.data.images import read_mask
from foglight.data.sample import Sample
from foglight.errors import DataError
from foglight.types import ChannelKind

SIDECAR: Final = "depth.json"


@final
@dataclass(frozen=True)
class DepthFormat:
    """What the numbers of a 16-bit map mean.

    Attributes:
        kind: depth in metres, disparity in pixels, or inverse depth in 1/metre.
        unit: of one step.
        offset: the number that means zero.
    """

    kind: ChannelKind
    unit: float
    offset: int = 0


def read_depth(path: Path, meaning: DepthFormat) -> Float[Tensor, "1 H W"]:
    """A map in its unit, 0 where nothing was measured.

    Raises:
        DataError: if the file is missing, damaged, in colour, or holds no measurement at all.
    """
    raw = read_mask(path)
    if raw.colour:
        raise DataError(f"{path}: expected a 16-bit grey map, got colours", remedy="get the file again, unchanged")
    values = raw.values.numpy()
    if not values.any():
        raise DataError(
            f"{path}: all {values.size} pixels are 0, which means not measured",
            remedy="get or make the map again, or set data.options.extra=none",
        )
    measured = np.where(values > 0, (values - meaning.offset) * np.float64(meaning.unit), 0.0)
    return torch.from_numpy(measured.astype(np.float32))[None]


@final
class WithExtra(SegmentationDataset):
    """Frames with extra channels from one file each.

    Args:
        dataset: the frames.
        files: one per frame, in order.
        read: the extra channels of a file.
        kinds: what each channel measures.

    Raises:
        ValueError: if there is not one file per frame.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        files: Sequence[Path],
        *,
        read: Callable[[Path], Float[Tensor, "x H W"]],
        kinds: tuple[ChannelKind, ...],
    ) -> None:
        if len(files) != len(dataset):
            raise ValueError(f"expected one file per frame, got {len(files)} for {len(dataset)} frames")
        info = replace(dataset.info, extra_channels=len(kinds), extra_kinds=kinds)
        super().__init__(info, ids=dataset.ids, groups=dataset.groups)
        self.dataset = dataset
        self.files = tuple(files)
        self.read = read

    def __getitem__(self, index: int) -> Sample:
        sample, path = self.dataset[index], self.files[index]
        extra = self.read(path)
        if tuple(extra.shape[1:]) != sample.size:
            (height, width), (own_height, own_width) = sample.size, extra.shape[1:]
            raise DataError(
                f"{path}: the map is {own_width}x{own_height} pixels, its image {sample.id} is {width}x{height}",
                remedy="get or make the map again at the size of its image",
            )
        return replace(sample, extra=extra, extra_kinds=self.info.extra_kinds)


def with_depth(dataset: SegmentationDataset, files: Sequence[Path], meaning: DepthFormat) -> WithExtra:
    """Frames with one channel of depth or disparity.

    Raises:
        DataError: if a file is missing.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DataError(
            f"{missing[0]}: no such {meaning.kind} file; {len(missing)} of {len(files)} frames lack theirs",
            remedy="complete the copy, or set data.options.extra=none",
        )
    return WithExtra(dataset, files, read=lambda path: read_depth(path, meaning), kinds=(meaning.kind,))


def with_made_depth(dataset: SegmentationDataset, images: Sequence[Path], folder: Path) -> WithExtra:
    """Frames with the maps that `foglight make-depth` wrote for their images.

    Args:
        dataset: the frames.
        images: the image file of each frame.
        folder: what `make-depth` wrote.

    Raises:
        DataError: if the folder is no such folder, or a map is missing.
    """
    meaning = read_sidecar(folder)
    known = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.png")}
    return with_depth(dataset, [_map_of(image, known, folder) for image in images], meaning)


def read_sidecar(folder: Path) -> DepthFormat:
    """What `make-depth` wrote about its maps.

    Raises:
        DataError: if there is no readable description.
    """
    path = folder / SIDECAR
    remedy = "name the folder that `foglight make-depth` wrote"
    if not path.is_file():
        raise DataError(f"{path}: no such file", remedy=remedy)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return DepthFormat(content["kind"], float(content["unit"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no description of depth maps ({error})", remedy=remedy) from error


def _map_of(image: Path, known: dict[str, Path], folder: Path) -> Path:
    """The map whose path under the folder is the longest tail of the image's path."""
    parts = image.with_suffix("").parts
    for start in range(len(parts)):
        found = known.get("/".join(parts[start:]))
        if found is not None:
            return found
    raise DataError(
        f"{folder}: no depth map of {image}", remedy="run `foglight make-depth` on the folder of the images"
    )
