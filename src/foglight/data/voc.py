"""Pascal VOC 2012: 20 kinds of things and background, alone (1464 training masks) or with SBD's masks (10582).

Layout: VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}; the root is VOCdevkit, VOC2012 or the folder
around them. With `sbd`, the training frames are those of the public list trainaug: VOC's training frames and all of
SBD, less VOC's validation frames. Their masks are SegmentationClassAug/*.png where that folder stands, else
benchmark_RELEASE/dataset/cls/*.mat beside it (scipy reads them: the extra `datasets`), and VOC's own where VOC has one.
A mask holds class indices as palette entries; 255 is the border, which SBD does not draw.

Splits: `official` (1464 or 10582 / 1449) and `held-out`, see `standard`. Frames have no groups.

Source: Everingham et al., IJCV 2015; SBD: Hariharan et al., ICCV 2011.
Licence: images under the terms of Flickr, in use for research.
"""

from pathlib import Path
from typing import Final, Literal

from foglight.data.dataset import DataInfo
from foglight.data.folder import Frame, PairDataset
from foglight.data.groups import Part
from foglight.data.labels import LabelTable
from foglight.data.palette import default_palette
from foglight.data.sbd import SBD_FOLDER, read_png_or_sbd_mask
from foglight.data.standard import (
    HELD_OUT,
    OFFICIAL,
    count_notes,
    cut_tune,
    half_of,
    known_split,
    read_names,
    require_files,
    require_folder,
    split_notes,
)
from foglight.errors import DataError

NAME: Final = "voc"
CLASSES: Final = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)
PALETTE: Final = ((0, 0, 0), *default_palette(len(CLASSES) - 1))
PUBLISHED_TRAIN: Final = 1464
PUBLISHED_TRAIN_WITH_SBD: Final = 10582
PUBLISHED_SCORED: Final = 1449
AUGMENTED_LISTS: Final = ("trainaug.txt", "train_aug.txt")
AUGMENTED_MASKS: Final = "SegmentationClassAug"


def voc(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    sbd: bool = False,
    unknown: Literal["error", "ignore"] = "error",
) -> PairDataset:
    """One part of Pascal VOC 2012.

    Args:
        root: VOC2012/, or the folder that holds it or VOCdevkit/.
        part: which part.
        split: `official` (the default) or `held-out`.
        sbd: whether the training frames are those with SBD's masks.
        unknown: what to do with a label that has no meaning.

    Raises:
        DataError: if a folder or file is missing.
        ConfigurationError: if there is no such split, or scipy is missing where it is needed.
    """
    split = known_split(NAME, split, (OFFICIAL, HELD_OUT))
    half, base = half_of(part, split), _base(root)
    require_folder(base / "JPEGImages", NAME, "VOC2012/JPEGImages/ (or VOCdevkit/VOC2012/)")
    with_sbd = sbd and half == "train"
    names = _augmented_names(root, base) if with_sbd else _listed(base, "train" if half == "train" else "val")
    published = PUBLISHED_SCORED if half == "scored" else PUBLISHED_TRAIN_WITH_SBD if sbd else PUBLISHED_TRAIN
    what = "validation frames" if half == "scored" else "training frames"
    notes = split_notes(part, split) + count_notes(what, len(names), published)
    masks = {name: _augmented_mask(root, base, name) if with_sbd else _own_mask(base, name) for name in names}
    images = {name: base / "JPEGImages" / f"{name}.jpg" for name in names}
    require_files(masks, what="label", of=NAME)
    require_files(images, what="image", of=NAME)
    kept = cut_tune(names, part, split, group=str)
    frames = [Frame(name, images[name], masks[name], name, part) for name in kept]
    table = LabelTable(CLASSES, unknown=unknown)
    info = DataInfo(NAME, CLASSES, PALETTE, notes=notes)
    return PairDataset(frames, table=table, info=info, read=read_png_or_sbd_mask)


def _base(root: Path) -> Path:
    places = (root / "VOCdevkit" / "VOC2012", root / "VOC2012", root)
    return next((place for place in places if (place / "JPEGImages").is_dir()), root)


def _listed(base: Path, name: str) -> tuple[str, ...]:
    return read_names(base / "ImageSets" / "Segmentation" / f"{name}.txt", NAME)


def _own_mask(base: Path, name: str) -> Path:
    return base / "SegmentationClass" / f"{name}.png"


def _augmented_names(root: Path, base: Path) -> tuple[str, ...]:
    """The frames of trainaug, from a list that stands there or from SBD's own two."""
    for name in AUGMENTED_LISTS:
        listed = base / "ImageSets" / "Segmentation" / name
        if listed.is_file():
            # Some of the public lists hold paths: "/JPEGImages/x.jpg /SegmentationClassAug/x.png".
            return tuple(Path(line).stem for line in read_names(listed, NAME))
    folder = _sbd_folder(root, base)
    extra = {*read_names(folder / "train.txt", NAME), *read_names(folder / "val.txt", NAME)}
    return tuple(sorted((extra | {*_listed(base, "train")}) - {*_listed(base, "val")}))


def _augmented_mask(root: Path, base: Path, name: str) -> Path:
    augmented = base / AUGMENTED_MASKS
    if augmented.is_dir():
        return augmented / f"{name}.png"
    own = _own_mask(base, name)
    return own if own.is_file() else _sbd_folder(root, base) / "cls" / f"{name}.mat"


def _sbd_folder(root: Path, base: Path) -> Path:
    for place in (root, base, base.parent, base.parent.parent):
        if (place / SBD_FOLDER).is_dir():
            return place / SBD_FOLDER
    raise DataError(
        f"{root}: neither {AUGMENTED_MASKS}/ nor {SBD_FOLDER}/ is there",
        remedy="unpack SBD's benchmark.tgz there (`foglight fetch-data sbd`), or set data.options.sbd=false",
    )
