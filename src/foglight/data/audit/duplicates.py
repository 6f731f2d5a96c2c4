"""Frames that look alike: a 64-bit difference hash, and how far apart frames of one drive were taken.

Hash: the grey image averaged to 8 rows of 9 cells; each bit says whether a cell is brighter than its right neighbour.
Two frames are near-duplicates where few bits differ (the Hamming distance). A frame without any structure has hash 0
and is compared with nothing.

Symbols: n, m frames; grey in [0, 255].
Source: the difference hash of N. Krawetz, 2013.
Cost: n * m comparisons of one integer, by blocks of rows.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Float, UInt64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

HASH_ROWS: Final = 8
NEAR_BITS: Final = 6
BLOCK_ROWS: Final = 512
NUMBER: Final = re.compile(r"\d+")


@final
@dataclass(frozen=True)
class Likeness:
    """A frame and the one that it resembles most.

    Attributes:
        frame: position in the one part.
        other: position in the other.
        bits: that differ, of 64.
    """

    frame: int
    other: int
    bits: int


def difference_hash(grey: Float[Tensor, "H W"]) -> int:
    """64 bits, the first row's first cell in the highest.

    >>> import torch
    >>> f"{difference_hash(torch.arange(9.0).flip(0).expand(8, 9)):x}"
    'ffffffffffffffff'
    """
    cells = F.adaptive_avg_pool2d(grey[None], (HASH_ROWS, HASH_ROWS + 1))[0]
    bits = (cells[:, :-1] > cells[:, 1:]).flatten().tolist()
    return sum(1 << (len(bits) - 1 - position) for position, bit in enumerate(bits) if bit)


def near_duplicates(
    hashes: UInt64[np.ndarray, " n"], others: UInt64[np.ndarray, " m"], *, most_bits: int = NEAR_BITS
) -> list[Likeness]:
    """Every frame whose most similar other frame differs by at most `most_bits`.

    >>> near_duplicates(np.array([0b111, 0b1000], np.uint64), np.array([0b110], np.uint64), most_bits=2)
    [Likeness(frame=0, other=0, bits=1)]
    """
    structured = np.flatnonzero(others)
    found: list[Likeness] = []
    if not len(structured):
        return found
    for start in range(0, len(hashes), BLOCK_ROWS):
        block = hashes[start : start + BLOCK_ROWS]
        bits: NDArray[np.uint8] = np.bitwise_count(block[:, None] ^ others[structured][None])
        nearest = bits.argmin(axis=1)
        found += [
            Likeness(start + row, int(structured[column]), int(bits[row, column]))
            for row, column in enumerate(nearest)
            if block[row] and bits[row, column] <= most_bits
        ]
    return found


def frame_gap(names: Sequence[str], others: Sequence[str]) -> int | None:
    """The smallest difference between the last numbers in the names; None where there are no numbers.

    >>> frame_gap(["drive_0010", "drive_0040"], ["drive_0050"])
    10
    """
    # In a merged order, the closest pair of the two sides are neighbours.
    merged = sorted(
        [(number, 0) for number in _last_numbers(names)] + [(number, 1) for number in _last_numbers(others)]
    )
    gaps = [right - left for (left, side), (right, other) in itertools.pairwise(merged) if side != other]
    return min(gaps, default=None)


def _last_numbers(names: Sequence[str]) -> set[int]:
    found = [NUMBER.findall(name) for name in names]
    return {int(numbers[-1]) for numbers in found if numbers}
