"""NYU Depth v2: 1449 indoor frames of a Kinect, 640 x 480, with filled depth; 40 or 13 classes.

Layout: nyu_depth_v2_labeled.mat (HDF5, read frame by frame through h5py: the extra `datasets`), splits.mat, and the
mappings classMapping40.mat (894 raw labels to 40 classes) and, for 13 classes, class13Mapping.mat (40 to 13), all in
the root. Raw label 0 says nothing and is ignored. Depth is in metres; normals are made of it with the toolbox's camera.
Groups are scenes: the published split keeps them apart.

Splits: `official` (795 / 654) and `held-out`, see `standard`.

Source: Silberman et al., ECCV 2012; 40 classes: Gupta et al., CVPR 2013; 13 classes: Couprie et al., ICLR 2013; mapping
files of ankurhanda/nyuv2-meta-data.
Licence: none is published with the data; in use for research.
"""

from pathlib import Path
from typing import Final, Literal, final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.groups import Part
from foglight.data.matlab import read_matlab
from foglight.data.nyuv2_file import NyuFile, NyuFrame
from foglight.data.palette import default_palette
from foglight.data.sample import Sample
from foglight.data.standard import (
    HELD_OUT,
    OFFICIAL,
    Half,
    count_notes,
    cut_tune,
    half_of,
    known_split,
    require_folder,
    split_notes,
)
from foglight.errors import DataError
from foglight.functional.surface_normals import Intrinsics, surface_normals
from foglight.types import IGNORE_INDEX, NORMALS, ChannelKind

NAME: Final = "nyuv2"
RAW_LABELS: Final = 894
CLASSES_40: Final = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat"),
    *("clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box"),
    *("whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "other structure"),
    *("other furniture", "other prop"),
)
CLASSES_13: Final = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv"),
    *("wall", "window"),
)
SPLIT_FIELDS: Final[dict[Half, str]] = {"train": "trainNdxs", "scored": "testNdxs"}
PUBLISHED: Final[dict[Half, int]] = {"train": 795, "scored": 654}
# Of the colour camera, into which the depth was projected; the toolbox counts pixels from 1.
CAMERA: Final = Intrinsics(518.857901, 519.469611, 325.582449 - 1, 253.736166 - 1)
FULL_SIZE: Final = (480, 640)
KINDS: Final[dict[str, tuple[ChannelKind, ...]]] = {
    "none": (),
    "depth": ("depth",),
    "normals": NORMALS,
    "depth+normals": ("depth", *NORMALS),
}


@final
class Nyuv2(SegmentationDataset):
    """Frames of the labelled file, one read from disk per access.

    Args:
        file: the labelled file.
        frames: which of its frames.
        table: training index of each raw label.
        extra: what comes with each frame.
        info: what the data set is.
    """

    def __init__(
        self, file: NyuFile, frames: list[NyuFrame], *, table: UInt8[np.ndarray, " n"], extra: str, info: DataInfo
    ) -> None:
        super().__init__(info, ids=tuple(frame.id for frame in frames), groups=tuple(frame.scene for frame in frames))
        self.file = file
        self.frames = tuple(frames)
        self.table = table
        self.extra = extra

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        read = self.file.read(frame, with_depth=self.extra != "none")
        if int(read.label.max()) >= len(self.table):
            raise DataError(
                f"{self.file.path}, {frame.id}: unknown raw label {int(read.label.max())}, expected 0..{RAW_LABELS}",
                remedy="get the file again: `foglight fetch-data nyuv2` says how",
            )
        label = torch.from_numpy(self.table[read.label])
        extra = None if read.depth is None else self._extra(torch.from_numpy(read.depth)[None])
        return Sample(frame.id, torch.from_numpy(read.image), label, extra, extra_kinds=self.info.extra_kinds)

    def _extra(self, depth: Float[Tensor, "1 H W"]) -> Float[Tensor, "x H W"]:
        if self.extra == "depth":
            return depth
        size = (int(depth.shape[1]), int(depth.shape[2]))
        normals = surface_normals(depth[0], CAMERA.resized(FULL_SIZE, size))
        return normals if self.extra == "normals" else torch.cat([depth, normals])


def nyuv2(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    classes: Literal[40, 13] = 40,
    extra: Literal["none", "depth", "normals", "depth+normals"] = "none",
) -> SegmentationDataset:
    """One part of NYU Depth v2.

    Args:
        root: the folder that holds nyu_depth_v2_labeled.mat, splits.mat and the mappings.
        part: which part.
        split: `official` (the default) or `held-out`.
        classes: 40 or 13.
        extra: depth in metres, surface normals, both, or nothing.

    Raises:
        DataError: if a file is missing or damaged.
        ConfigurationError: if there is no such split, or scipy or h5py is missing.
        ValueError: if an option is out of its range.
    """
    if classes not in (40, 13) or extra not in KINDS:
        raise ValueError(f"expected classes 40 or 13 and extra of {', '.join(KINDS)}; got {classes}, {extra}")
    split = known_split(NAME, split, (OFFICIAL, HELD_OUT))
    require_folder(root, NAME, "nyu_depth_v2_labeled.mat and splits.mat")
    half, file = half_of(part, split), NyuFile(root / "nyu_depth_v2_labeled.mat")
    wanted = _field(root / "splits.mat", SPLIT_FIELDS[half]).astype(int) - 1
    everything = file.frames()
    found = [everything[number] for number in wanted if number < len(everything)]
    frames = cut_tune(found, part, split, group=lambda frame: frame.scene)
    what = "training frames" if half == "train" else "test frames"
    names = CLASSES_40 if classes == 40 else CLASSES_13
    info = DataInfo(
        NAME,
        names,
        default_palette(len(names)),
        notes=split_notes(part, split) + count_notes(what, len(found), PUBLISHED[half]),
        extra_channels=len(KINDS[extra]),
        extra_kinds=KINDS[extra],
    )
    return Nyuv2(file, frames, table=label_table(root, classes), extra=extra, info=info)


def label_table(root: Path, classes: Literal[40, 13]) -> UInt8[np.ndarray, " n"]:
    """Training index of each raw label 0..894, by the published mappings.

    Raises:
        DataError: if a mapping is missing, damaged, or names a class that is not there.
    """
    path = root / "classMapping40.mat"
    table = np.concatenate([[0], _field(path, "mapClass")]).astype(int)
    if classes == 13:
        path = root / "class13Mapping.mat"
        coarse = np.concatenate([[0], _field(path, "classMapping13")]).astype(int)
        if table.max() >= len(coarse):
            raise DataError(f"{path}: no entry for class {table.max()}", remedy="get the mapping again, unchanged")
        table = coarse[table]
    if table.min() < 0 or table.max() > classes:
        raise DataError(
            f"{path}: unknown class {table.max()}, expected 0..{classes}", remedy="get the mapping again, unchanged"
        )
    return np.where(table == 0, IGNORE_INDEX, table - 1).astype(np.uint8)


def _field(path: Path, name: str) -> np.ndarray:
    """A vector of a MATLAB file, which may lie in the first field of a structure."""
    content = read_matlab(path)
    if name not in content:
        raise DataError(f"{path}: no variable {name}", remedy="get the file again, unchanged")
    values = np.asarray(content[name])
    while values.dtype == object or values.dtype.names is not None:
        values = np.asarray(values.flat[0][0] if values.dtype.names is not None else values.flat[0])
    return values.ravel()
