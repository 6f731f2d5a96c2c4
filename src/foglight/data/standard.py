"""What the standard data sets share: official and held-out parts, complete copies, counts against the published ones.

A standard data set publishes frames to learn from and labelled frames to be scored on, and no third part. Two splits
follow. `official`, as the papers do: the scored frames are tune and report at once, so that whatever is chosen on tune
has seen the report. `held-out`: a hashed tenth of the groups of the training frames becomes tune, and the scored frames
are read by report alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

from foglight.data.groups import Part
from foglight.data.splits_by_hash import first_by_hash
from foglight.errors import ConfigurationError, DataError
from foglight.spelling import known_words

Half = Literal["train", "scored"]
T = TypeVar("T")
OFFICIAL: Final = "official"
HELD_OUT: Final = "held-out"
TUNE_SHARE: Final = 0.1
SAME_FRAMES_NOTE: Final = (
    "tune and report are the same frames, as in the papers: what is chosen on tune has seen the report"
)
OFFICIAL_NOTE: Final = f"{SAME_FRAMES_NOTE}; split held-out takes tune from the training frames instead"


def known_split(name: str, split: str | None, known: Sequence[str]) -> str:
    """The split that was asked for, or the first of the known ones.

    Raises:
        ConfigurationError: if the data set has no such split.
    """
    if split is None:
        return known[0]
    if split not in known:
        raise ConfigurationError(f"{name} has no split {split!r}", remedy=known_words(split, known))
    return split


def half_of(part: Part, split: str) -> Half:
    """Which of the published frames a part is cut from."""
    return "train" if part == "train" or (part == "tune" and split == HELD_OUT) else "scored"


def cut_tune(frames: Sequence[T], part: Part, split: str, *, group: Callable[[T], str]) -> list[T]:
    """The frames of one half that belong to the part: all, unless tune is held out of the training frames.

    Raises:
        DataError: if there are too few groups to hold one out.
    """
    if split != HELD_OUT or part == "report":
        return list(frames)
    groups = {group(frame) for frame in frames}
    if len(groups) < 2:
        raise DataError(
            f"the training frames form {len(groups)} group(s), held-out needs two", remedy="use data.split=official"
        )
    tuned = set(first_by_hash(tuple(groups), max(1, round(TUNE_SHARE * len(groups)))))
    return [frame for frame in frames if (group(frame) in tuned) == (part == "tune")]


def split_notes(part: Part, split: str) -> tuple[str, ...]:
    """What must be said of the official split."""
    return (OFFICIAL_NOTE,) if split == OFFICIAL and part != "train" else ()


def count_notes(what: str, found: int, published: int) -> tuple[str, ...]:
    """A warning where a copy does not hold as many frames as were published.

    >>> count_notes("training frames", 3, 2975)
    ('found 3 training frames, the published set has 2975: the copy is not complete, or not the official one',)
    """
    if found == published:
        return ()
    return (
        f"found {found} {what}, the published set has {published}: the copy is not complete, or not the official one",
    )


def require_folder(folder: Path, name: str, holds: str) -> Path:
    """The folder, if it is there.

    Raises:
        DataError: if it is not.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder",
            remedy=f"set data.root (--root) to the folder that holds {holds}; `foglight fetch-data {name}` says how to "
            "get the files",
        )
    return folder


def read_names(file: Path, name: str) -> tuple[str, ...]:
    """The names in a list, one per line; of a line with several words the first.

    Raises:
        DataError: if there is no such list or it is empty.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such list", remedy=f"complete the copy: `foglight fetch-data {name}` says how")
    names = tuple(line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    if not names:
        raise DataError(f"{file}: the list is empty", remedy=f"get it again: `foglight fetch-data {name}` says how")
    return names


def require_files(files: Mapping[str, Path], *, what: str, of: str) -> None:
    """Refuse a copy in which a file of some frame is missing.

    Args:
        files: the file of each frame, by the frame's name.
        what: that the file is, such as label.
        of: the name of the data set.

    Raises:
        DataError: if there is no frame at all, or a file is missing; the first one is named.
    """
    if not files:
        raise DataError(f"{of}: no frame found", remedy=f"`foglight fetch-data {of}` says what the folder must hold")
    missing = [name for name, path in files.items() if not path.is_file()]
    if missing:
        raise DataError(
            f"{files[missing[0]]}: no such {what} file; {len(missing)} of {len(files)} frames lack their {what}",
            remedy=f"complete the copy (`foglight fetch-data {of}` says how), or remove the images without a {what}",
        )
