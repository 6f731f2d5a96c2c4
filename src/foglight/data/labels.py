"""What the raw values of a mask mean: the table from raw indices or colours to training indices.

A raw index is looked up in `ignored`, then in `indices`; without such a table index c means class c. A colour is looked
up in `ignored_colours`, then in `colours`; without a colour table a mask whose three channels are equal is read as
indices, any other is refused. Index 255 is ignored unless the table names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, final

import torch
from jaxtyping import UInt8
from torch import Tensor

from foglight.data.dataset import Colour
from foglight.data.images import RawMask
from foglight.errors import DataError
from foglight.types import IGNORE_INDEX

MOST_VALUES_NAMED: Final = 6
BYTE: Final = 0xFF
GREY_STEP: Final = 0x010101


def pack(colour: Colour) -> int:
    """A colour as the integer that `images.read_mask` gives.

    >>> pack((0, 1, 2))
    258
    """
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def colour_name(packed: int) -> str:
    """A packed colour as people write it.

    >>> colour_name(0x804020)
    '#804020'
    """
    return f"#{packed:06x}"


@final
@dataclass(frozen=True)
class LabelTable:
    """From raw mask values to training indices.

    Attributes:
        class_names: by training index.
        indices: raw index to training index; empty: index c is class c.
        colours: packed colour to training index; empty: there are no colour masks.
        ignored: raw indices that say nothing.
        ignored_colours: packed colours that say nothing.
        unknown: what to do with any other value.
        described_in: the file that says all this; None for a published data set.
    """

    class_names: tuple[str, ...]
    indices: Mapping[int, int] = field(default_factory=dict)
    colours: Mapping[int, int] = field(default_factory=dict)
    ignored: frozenset[int] = frozenset()
    ignored_colours: frozenset[int] = frozenset()
    unknown: Literal["error", "ignore"] = "error"
    described_in: str | None = None

    def table(self, *, colour: bool) -> dict[int, int]:
        """Every raw value that has a meaning."""
        if colour:
            known, ignored = dict(self.colours), self.ignored_colours
        else:
            known = dict(self.indices) or {index: index for index in range(len(self.class_names))}
            ignored = self.ignored if IGNORE_INDEX in known else self.ignored | {IGNORE_INDEX}
        return known | dict.fromkeys(ignored, IGNORE_INDEX)

    def apply(self, mask: RawMask, path: Path) -> UInt8[Tensor, "H W"]:
        """Training indices of a raw mask.

        Raises:
            DataError: if a value has no meaning and unknown values are errors.
        """
        mask = self._as_indices(mask, path) if mask.colour and not self.colours else mask
        raw, inverse = torch.unique(mask.values, return_inverse=True)
        known = self.table(colour=mask.colour)
        values = [int(value) for value in raw]
        unknown = [value for value in values if value not in known]
        if unknown and self.unknown == "error":
            raise self._unknown(path, unknown, known, colour=mask.colour)
        meaning = torch.tensor([known.get(value, IGNORE_INDEX) for value in values], dtype=torch.uint8)
        return meaning[inverse]

    def _as_indices(self, mask: RawMask, path: Path) -> RawMask:
        low = mask.values & BYTE
        if bool((mask.values == low * GREY_STEP).all()):
            return RawMask(low, colour=False)
        raise DataError(
            f"{path}: a colour mask, and no colours are known",
            remedy="give the masks as published, with indices"
            if self.described_in is None
            else f"add `palette:` to {self.described_in}, one [red, green, blue] per class",
        )

    def _unknown(self, path: Path, unknown: list[int], known: Mapping[int, int], *, colour: bool) -> DataError:
        def names(values: list[int]) -> str:
            shown = [colour_name(value) if colour else str(value) for value in values[:MOST_VALUES_NAMED]]
            return ", ".join(shown) + (", ..." if len(values) > MOST_VALUES_NAMED else "")

        what = "colour" if colour else "value"
        own = f"add the {what} to `map:` or `ignore:` in {self.described_in}"
        mend = "give the masks as published" if self.described_in is None else own
        return DataError(
            f"{path}: unknown mask {what} {names(unknown)}; expected one of {names(sorted(known))} "
            f"({len(self.class_names)} classes)",
            remedy=f"{mend}, or set data.options.unknown=ignore",
        )
