"""Mask values before they have a meaning: how many pixels hold each, and what the label table makes of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from foglight.data.audit.findings import RawValue
from foglight.data.labels import BYTE, GREY_STEP, LabelTable, colour_name
from foglight.types import IGNORE_INDEX

# A mask saved as JPEG holds thousands of values; those beyond this many are counted together.
MOST_RAW_VALUES: Final = 4096
UNKNOWN: Final = "unknown"
IGNORED: Final = "ignored"


@final
@dataclass(frozen=True)
class RawCounts:
    """Pixels by raw mask value; two of them over different masks add up.

    Attributes:
        indices: by index.
        colours: by packed colour.
        others: pixels of values beyond the first few thousand.
    """

    indices: Mapping[int, int]
    colours: Mapping[int, int]
    others: int = 0

    def __add__(self, other: "RawCounts") -> "RawCounts":
        indices, more = _join(self.indices, other.indices)
        colours, still_more = _join(self.colours, other.colours)
        return RawCounts(indices, colours, self.others + other.others + more + still_more)

    @property
    def pixels(self) -> int:
        """Of all masks."""
        return sum(self.indices.values()) + sum(self.colours.values()) + self.others

    def as_read_by(self, table: LabelTable) -> "RawCounts":
        """Grey colours are indices where no colour has a meaning."""
        if table.colours or any(value != (value & BYTE) * GREY_STEP for value in self.colours):
            return self
        grey = {value & BYTE: pixels for value, pixels in self.colours.items()}
        return RawCounts(_join(self.indices, grey)[0], {}, self.others)


def _join(counts: Mapping[int, int], more: Mapping[int, int]) -> tuple[dict[int, int], int]:
    joined, others = dict(counts), 0
    for value, pixels in more.items():
        if value in joined or len(joined) < MOST_RAW_VALUES:
            joined[value] = joined.get(value, 0) + pixels
        else:
            others += pixels
    return joined, others


def raw_values(raw: RawCounts, table: LabelTable) -> Iterator[RawValue]:
    """Every value with its meaning, most frequent first; indices before colours."""
    for counts, colour in ((raw.indices, False), (raw.colours, True)):
        meanings = table.table(colour=colour)
        for value, pixels in Counter(counts).most_common():
            name = colour_name(value) if colour else str(value)
            yield RawValue(name, pixels, pixels / raw.pixels, _meaning(meanings.get(value), table))


def _meaning(index: int | None, table: LabelTable) -> str:
    if index is None:
        return UNKNOWN
    return IGNORED if index == IGNORE_INDEX else table.class_names[index]
