"""KITTI Semantics: 200 labelled street scenes of about 1242 x 375, the 19 classes and the label ids of Cityscapes.

Layout: training/image_2/NNNNNN_10.png and training/semantic/NNNNNN_10.png; training/disp_occ_0/NNNNNN_10.png of
data_scene_flow.zip where it is asked for. The labels of testing are withheld, and no split of the 200 is published:
ours holds out the 50 frames whose names come first by hash (see `splits_by_hash`), the list stands below. The names do
not tell which drive a frame is of, so that neighbours may stand in both parts.

Splits: `hashed` (150 / 50) and `held-out`, whose tune part is a hashed tenth of the 150.

Source: Alhaija et al., IJCV 2018; the sizes of the split are those of LIX (3 : 1), whose list is not published.
Licence: CC BY-NC-SA 3.0.
"""

from pathlib import Path
from typing import Final, Literal

from foglight.data.cityscapes import CLASSES, cityscapes_labels
from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.depth_files import DepthFormat, with_depth, with_made_depth
from foglight.data.folder import Frame, PairDataset
from foglight.data.groups import Part
from foglight.data.layout import list_images
from foglight.data.splits_by_hash import list_digest
from foglight.data.standard import (
    HELD_OUT,
    OFFICIAL_NOTE,
    count_notes,
    cut_tune,
    half_of,
    known_split,
    require_files,
    require_folder,
)

NAME: Final = "kitti"
HASHED: Final = "hashed"
PUBLISHED: Final = 200
DISPARITY: Final = DepthFormat("disparity", 1 / 256)
# fmt: off
REPORT_NUMBERS: Final = (
    4, 8, 10, 11, 13, 14, 16, 17, 19, 21, 24, 30, 32, 41, 44, 45, 47, 48, 56, 58, 59, 60, 67, 83, 84, 90, 91,
    93, 100, 105, 115, 117, 130, 134, 135, 136, 137, 141, 148, 149, 154, 158, 160, 164, 175, 178, 183, 184, 188,
    191,
)
# fmt: on
NEIGHBOURS_NOTE: Final = "KITTI's names do not tell the drive: frames of one drive may stand in train and in report"


def frame_name(number: int) -> str:
    """The name of a labelled frame.

    >>> frame_name(7)
    '000007_10'
    """
    return f"{number:06d}_10"


REPORT_NAMES: Final = frozenset(frame_name(number) for number in REPORT_NUMBERS)


def kitti(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    extra: Literal["none", "disparity"] = "none",
    depth_folder: str | None = None,
    unknown: Literal["error", "ignore"] = "error",
) -> SegmentationDataset:
    """One part of KITTI Semantics.

    Args:
        root: the folder that holds training/, or training/ itself.
        part: which part.
        split: `hashed` (the default) or `held-out`.
        extra: whether the sparse disparity of the laser, in pixels, comes with each frame (data_scene_flow.zip).
        depth_folder: what `foglight make-depth` wrote for image_2/; None for none.
        unknown: what to do with a label that has no meaning.

    Raises:
        DataError: if a folder or file is missing.
        ConfigurationError: if there is no such split.
        ValueError: if an option is out of its range.
    """
    if extra not in ("none", "disparity") or (extra != "none" and depth_folder is not None):
        raise ValueError(f"expected extra none or disparity, and depth_folder only with none; got {extra}")
    split = known_split(NAME, split, (HASHED, HELD_OUT))
    base = root / "training" if (root / "training").is_dir() else root
    images = list_images(require_folder(base / "image_2", NAME, "training/image_2/ and training/semantic/"))
    labels = require_folder(base / "semantic", NAME, "training/image_2/ and training/semantic/")
    # Stereo pairs of the same archive family hold a second view NNNNNN_11, which has no label.
    files = {stem: path for stem, path in images.items() if not stem.endswith("_11")}
    masks = {stem: labels / f"{stem}.png" for stem in files}
    require_files(masks, what="label", of=NAME)
    scored = half_of(part, split) == "scored"
    half = [Frame(stem, files[stem], masks[stem], stem, part) for stem in files if (stem in REPORT_NAMES) == scored]
    frames = cut_tune(half, part, split, group=lambda frame: frame.group)
    info = DataInfo(NAME, tuple(CLASSES), tuple(CLASSES.values()), notes=_notes(part, split, len(files), frames))
    pairs = PairDataset(frames, table=cityscapes_labels(unknown), info=info)
    if depth_folder is not None:
        return with_made_depth(pairs, [frame.image for frame in frames], Path(depth_folder))
    if extra == "none":
        return pairs
    maps = require_folder(base / "disp_occ_0", NAME, "training/disp_occ_0/ of data_scene_flow.zip")
    return with_depth(pairs, [maps / f"{frame.id}.png" for frame in frames], DISPARITY)


def _notes(part: Part, split: str, found: int, frames: list[Frame]) -> tuple[str, ...]:
    notes = count_notes("labelled frames", found, PUBLISHED)
    if part == "train":
        return notes
    shared = (OFFICIAL_NOTE,) if split == HASHED else ()
    digest = list_digest([frame.id for frame in frames])
    return (*notes, *shared, NEIGHBOURS_NOTE, f"{len(frames)} frames, list {digest}")
