"""Frames that belong together, and which part of the data each group goes to.

Neighbouring frames of one drive are near-copies, so a split by single frames measures memory, not skill. A group goes
whole to one part. Groups are ordered by a hash of their name and cut into report, tune and train: no random state, the
same on every machine.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from foglight.errors import DataError

Part = Literal["train", "tune", "report"]
PARTS: Final[tuple[Part, ...]] = ("train", "tune", "report")
HELD_OUT_SHARE: Final = 0.15
FEWEST_GROUPS: Final = len(PARTS)
LAST_NUMBER: Final = re.compile(r"^(.*?)[_\-. ]*\d+\D*$")


def guess_groups(stems: Sequence[str]) -> tuple[str, ...]:
    """Cut each name before its last number; once more while every group still holds a single frame.

    >>> guess_groups(["north_001", "north_002", "south_001"])
    ('north', 'north', 'south')
    >>> guess_groups(["ulm_07_01_image", "ulm_08_01_image", "bonn_01_01_image"])
    ('ulm', 'ulm', 'bonn')
    """
    groups = tuple(_before_last_number(stem) for stem in stems)
    while len(groups) > 1 and len(set(groups)) == len(groups):
        shorter = tuple(_before_last_number(group) for group in groups)
        if shorter == groups:
            break
        groups = shorter
    return groups


def _before_last_number(name: str) -> str:
    match = LAST_NUMBER.match(name)
    return name if match is None else match.group(1)


def groups_by_pattern(stems: Sequence[str], pattern: str) -> tuple[str, ...]:
    """The first parenthesis of a regular expression in each name, or the whole match where there is none.

    >>> groups_by_pattern(["a-1_9", "b-1_9"], "^([a-z])")
    ('a', 'b')

    Raises:
        DataError: if the pattern is no regular expression or does not occur in a name.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(
            f"group pattern {pattern!r} is no regular expression ({error})", remedy="mend data.options.group"
        ) from error
    groups: list[str] = []
    for stem in stems:
        match = expression.search(stem)
        if match is None:
            raise DataError(
                f"group pattern {pattern!r} does not occur in {stem!r}",
                remedy="choose a data.options.group that matches every file name, such as '^([^_]+)'",
            )
        groups.append(match.group(1) if expression.groups else match.group())
    return tuple(groups)


def parts_by_group(groups: Sequence[str]) -> dict[str, Part]:
    """A part for every group: 15 % of the groups to report, 15 % to tune, at least one each, the rest to train.

    Raises:
        DataError: if there are fewer than three groups.
    """
    names = sorted(set(groups), key=_hash)
    if len(names) < FEWEST_GROUPS:
        counts = ", ".join(f"{name!r} ({count})" for name, count in Counter(groups).most_common())
        raise DataError(
            f"found {len(names)} group(s) of frames: {counts}; three parts need at least {FEWEST_GROUPS}",
            remedy="set data.options.group (a regular expression on file names), give a CSV or JSON file as "
            "data.split, or data.split=frame to split by single frames, which leaks where frames are neighbours",
        )
    held_out = max(1, round(HELD_OUT_SHARE * len(names)))
    report, tune = names[:held_out], names[held_out : 2 * held_out]
    return {name: "report" if name in report else "tune" if name in tune else "train" for name in names}


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
