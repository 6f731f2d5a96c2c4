"""ADE20K in the layout of the scene parsing challenge: 150 classes, images of many sizes.

Layout: images/{training,validation}/*.jpg and annotations/{training,validation}/*.png, as ADEChallengeData2016.zip
holds them (the root may be the folder around it). A mask says 0 where nothing is said and c + 1 for class c.

Splits: `official` (20210 / 2000) and `held-out`, see `standard`. Frames have no groups: each stands for itself.

Source: Zhou et al., CVPR 2017.
Licence: annotations BSD 3-clause; images for non-commercial research and teaching.
"""

from pathlib import Path
from typing import Final, Literal

from foglight.data.ade20k_classes import ADE20K_CLASSES
from foglight.data.dataset import DataInfo
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

NAME: Final = "ade20k"
ARCHIVE_FOLDER: Final = "ADEChallengeData2016"
PUBLISHED: Final[dict[Half, int]] = {"train": 20210, "scored": 2000}
FOLDERS: Final[dict[Half, str]] = {"train": "training", "scored": "validation"}


def ade20k(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    unknown: Literal["error", "ignore"] = "error",
) -> PairDataset:
    """One part of ADE20K.

    Args:
        root: the folder that holds images/ and annotations/, or the one around it.
        part: which part.
        split: `official` (the default) or `held-out`.
        unknown: what to do with a label that has no meaning.

    Raises:
        DataError: if a folder or file is missing.
        ConfigurationError: if there is no such split.
    """
    split = known_split(NAME, split, (OFFICIAL, HELD_OUT))
    half = half_of(part, split)
    base = root / ARCHIVE_FOLDER if (root / ARCHIVE_FOLDER).is_dir() else root
    found = _read_half(base, FOLDERS[half], part)
    frames = cut_tune(found, part, split, group=lambda frame: frame.group)
    notes = split_notes(part, split) + count_notes(f"frames in {FOLDERS[half]}", len(found), PUBLISHED[half])
    info = DataInfo(NAME, tuple(ADE20K_CLASSES), tuple(ADE20K_CLASSES.values()), notes=notes)
    indices = {index + 1: index for index in range(len(ADE20K_CLASSES))}
    table = LabelTable(tuple(ADE20K_CLASSES), indices=indices, ignored=frozenset([0]), unknown=unknown)
    return PairDataset(frames, table=table, info=info)


def _read_half(base: Path, folder: str, part: Part) -> list[Frame]:
    holds = "images/ and annotations/"
    images = require_folder(base / "images" / folder, NAME, holds)
    labels = require_folder(base / "annotations" / folder, NAME, holds)
    files = list_images(images)
    masks = {stem: labels / f"{stem}.png" for stem in files}
    require_files(masks, what="label", of=NAME)
    return [Frame(stem, files[stem], masks[stem], stem, part) for stem in files]
