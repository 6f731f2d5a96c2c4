"""CamVid in its public 11-class layout: train/, trainannot/, val/, valannot/, test/, testannot/ and train.txt, ...

Splits. `official`: val is both tune and report. `test`: report is test/. `drive:NAME`: report is that drive of train,
the other two are train, and val is tune. Drives are the first part of a stem (0016E5, 0006R0, 0001TP) and the groups.

Source: Brostow et al., 2008; classes, sizes and split of the SegNet tutorial. Images may be PNG or JPEG; the lists may
hold stems or paths of another machine, of which only the name is read.
"""

from pathlib import Path
from typing import Final, Literal

from foglight.data.dataset import DataInfo
from foglight.data.folder import Frame, PairDataset
from foglight.data.groups import Part
from foglight.data.labels import LabelTable
from foglight.data.layout import list_pairs
from foglight.data.splits import image_stem
from foglight.errors import ConfigurationError, DataError
from foglight.spelling import known_words

VOID: Final = 11
CLASSES: Final = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
DRIVE: Final = "drive:"
OFFICIAL_NOTE: Final = (
    "CamVid's validation frames are one clip of 7 seconds of a training drive: never the basis of a claim; compare on "
    "split drive:0001TP, drive:0006R0 or drive:0016E5"
)
TUNE_NOTE: Final = (
    "the tune part is CamVid's validation clip, 7 seconds of the drive 0016E5; it shares that drive with {other}"
)


def camvid(
    root: Path, *, part: Part, split: str | None = None, unknown: Literal["error", "ignore"] = "error"
) -> PairDataset:
    """One part of CamVid.

    Args:
        root: the folder that holds train/, trainannot/ and so on.
        part: which part.
        split: `official` (the default), `test` or `drive:NAME`.
        unknown: what to do with a label that has no meaning.

    Raises:
        DataError: if a folder or file is missing.
        ConfigurationError: if there is no such split or drive.
    """
    split = split or "official"
    held_out = split.removeprefix(DRIVE) if split.startswith(DRIVE) else None
    if held_out is None and split not in ("official", "test"):
        raise ConfigurationError(
            f"camvid has no split {split!r}", remedy=known_words(split, ["official", "test", "drive:0001TP"])
        )
    frames = read_folder(root, _folder(part, split), part)
    if held_out is not None:
        frames = _leave_one_out(root, frames, part, held_out)
    info = DataInfo("camvid", tuple(CLASSES), tuple(CLASSES.values()), notes=_notes(part, split))
    return PairDataset(frames, table=LabelTable(tuple(CLASSES), ignored=frozenset([VOID]), unknown=unknown), info=info)


def read_folder(root: Path, name: str, part: Part) -> list[Frame]:
    """The frames of train, val or test, in the order of the list if there is one.

    Raises:
        DataError: if the folder, or a file that the list names, is missing.
    """
    listing = list_pairs(root / name, root / f"{name}annot")
    file = root / f"{name}.txt"
    stems = listing.stems
    if file.is_file():
        # A public list line is "/SegNet/CamVid/train/x.png /SegNet/CamVid/trainannot/x.png", ours a bare stem.
        lines = [line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        stems = tuple(image_stem(line.rsplit("/", 1)[-1]) for line in lines)
        missing = [stem for stem in stems if stem not in listing.images or stem not in listing.masks]
        if missing:
            raise DataError(
                f"{file}: {len(missing)} listed frame(s) lack an image or a mask, such as {missing[0]}",
                remedy="complete the download or mend the list",
            )
    return [Frame(stem, listing.images[stem], listing.masks[stem], drive(stem), part) for stem in stems]


def drive(stem: str) -> str:
    """The drive that a frame was taken on.

    >>> drive("0016E5_07959"), drive("Seq05VD_f02610")
    ('0016E5', 'Seq05VD')
    """
    return stem.split("_", 1)[0]


def _folder(part: Part, split: str) -> str:
    if part == "train" or (part == "report" and split.startswith(DRIVE)):
        return "train"
    return "test" if part == "report" and split == "test" else "val"


def _leave_one_out(root: Path, frames: list[Frame], part: Part, held_out: str) -> list[Frame]:
    drives = {frame.group for frame in (frames if part != "tune" else read_folder(root, "train", "train"))}
    if held_out not in drives:
        raise ConfigurationError(f"camvid's train part has no drive {held_out!r}", remedy=known_words(held_out, drives))
    if part == "tune":
        return frames
    return [frame for frame in frames if (frame.group == held_out) == (part == "report")]


def _notes(part: Part, split: str) -> tuple[str, ...]:
    if split == "official":
        return () if part == "train" else (OFFICIAL_NOTE,)
    if part != "tune":
        return ()
    return (TUNE_NOTE.format(other="the report part" if split == f"{DRIVE}0016E5" else "the train part"),)
