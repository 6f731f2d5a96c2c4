"""Cityscapes: 5000 finely labelled street scenes of 50 cities, 2048 x 1024, 19 classes.

Layout: leftImg8bit/{train,val}/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png and
gtFine/{train,val}/CITY/CITY_SEQUENCE_FRAME_gtFine_labelIds.png, of which ids become training ids while reading, so
that no preparation is needed; disparity/{train,val}/CITY/CITY_SEQUENCE_FRAME_disparity.png where it is asked for.
The labels of test are withheld. Groups are cities.

Splits: `official` (2975 / 500) and `held-out`, see `standard`.

Source: Cordts et al., CVPR 2016; ids and colours of the labels as published with the data set.
Licence: own terms, for research and other non-commercial use after registration; no redistribution.
"""

from pathlib import Path
from typing import Final, Literal

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.depth_files import DepthFormat, with_depth
from foglight.data.folder import Frame, PairDataset
from foglight.data.groups import Part
from foglight.data.labels import LabelTable
from foglight.data.layout import list_images
from foglight.data.standard import (
    HELD_OUT,
    OFFICIAL,
    Half,
    count_notes,
    cut_tune,
    half_of,
    known_split,
    require_files,
    require_folder,
    split_notes,
)

NAME: Final = "cityscapes"
CLASSES: Final = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
# The published ids of the 19 classes, in the order of the training ids; every other id of 0..33 is not scored.
CLASS_IDS: Final = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
# d = (p - 1) / 256 pixels, and p = 0 where nothing was measured.
DISPARITY: Final = DepthFormat("disparity", 1 / 256, offset=1)
ALL_IDS: Final = range(34)
PUBLISHED: Final[dict[Half, int]] = {"train": 2975, "scored": 500}
FOLDERS: Final[dict[Half, str]] = {"train": "train", "scored": "val"}


def cityscapes_labels(unknown: Literal["error", "ignore"] = "error") -> LabelTable:
    """From the ids of Cityscapes (and KITTI) to training ids."""
    indices = {number: index for index, number in enumerate(CLASS_IDS)}
    ignored = frozenset(number for number in ALL_IDS if number not in indices)
    return LabelTable(tuple(CLASSES), indices=indices, ignored=ignored, unknown=unknown)


def cityscapes(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    extra: Literal["none", "disparity"] = "none",
    unknown: Literal["error", "ignore"] = "error",
) -> SegmentationDataset:
    """One part of Cityscapes.

    Args:
        root: the folder that holds leftImg8bit/ and gtFine/.
        part: which part.
        split: `official` (the default) or `held-out`.
        extra: whether disparity in pixels comes with each frame.
        unknown: what to do with a label that has no meaning.

    Raises:
        DataError: if a folder or file is missing.
        ConfigurationError: if there is no such split.
        ValueError: if an option is out of its range.
    """
    if extra not in ("none", "disparity"):
        raise ValueError(f"expected extra none or disparity, got {extra}")
    split = known_split(NAME, split, (OFFICIAL, HELD_OUT))
    half = half_of(part, split)
    found = _read_half(root, FOLDERS[half], part)
    frames = cut_tune(found, part, split, group=lambda frame: frame.group)
    notes = split_notes(part, split) + count_notes(f"frames in {FOLDERS[half]}", len(found), PUBLISHED[half])
    info = DataInfo(NAME, tuple(CLASSES), tuple(CLASSES.values()), notes=notes)
    pairs = PairDataset(frames, table=cityscapes_labels(unknown), info=info)
    if extra == "none":
        return pairs
    maps = require_folder(root / "disparity" / FOLDERS[half], NAME, "disparity/ beside leftImg8bit/")
    return with_depth(pairs, [maps / frame.group / f"{frame.id}_disparity.png" for frame in frames], DISPARITY)


def _read_half(root: Path, folder: str, part: Part) -> list[Frame]:
    holds = "leftImg8bit/ and gtFine/"
    images = require_folder(root / "leftImg8bit" / folder, NAME, holds)
    labels = require_folder(root / "gtFine" / folder, NAME, holds)
    files = list_images(images, suffix="_leftImg8bit")
    masks = {stem: labels / f"{stem}_gtFine_labelIds.png" for stem in files}
    require_files(masks, what="label", of=NAME)
    return [Frame(Path(stem).name, files[stem], masks[stem], Path(stem).parts[0], part) for stem in files]
