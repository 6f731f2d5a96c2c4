"""Masks written as run lengths, in the compact text of the COCO tools.

Runs of 0 and of 1 take turns, down the columns, and begin with a run of 0 (of length 0 if need be). Each count is
written in groups of 5 bits, lowest first, as the character 48 + group (+ 32 where another group follows); the highest
bit of the last group is the sign. From the fourth count on, the number written is the difference to the count two
places before.

Source: the format of pycocotools (Lin et al., 2014), as nuImages stores it: base64 of that text.
Cost: one pass over the characters, one over the pixels.
"""

import base64
import binascii
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

FIRST_CHARACTER = 48
BITS = 5
CONTINUES = 0x20
SIGN = 0x10
FIRST_DIFFERENCE = 3


def decode_base64_mask(counts: str, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """A mask of height and width from base64 text.

    >>> import base64
    >>> decode_base64_mask(base64.b64encode(b"123").decode(), (2, 3)).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0]]

    Raises:
        ValueError: if the text is damaged, or does not describe so many pixels.
    """
    try:
        text = base64.b64decode(counts, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64 ({error})") from error
    return decode_runs(tuple(read_counts(text)), size)


def read_counts(text: bytes) -> Iterator[int]:
    """The lengths of the runs.

    >>> list(read_counts(b"123"))
    [1, 2, 3]

    Raises:
        ValueError: if a character is none of the format, the text ends within a number, or a length is negative.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        group = character - FIRST_CHARACTER
        if not 0 <= group < 2 * CONTINUES:
            raise ValueError(f"character {character} is none of the format")
        value |= (group & (CONTINUES - 1)) << shift
        shift += BITS
        if group & CONTINUES:
            continue
        if group & SIGN:
            value -= 1 << shift
        if len(counts) >= FIRST_DIFFERENCE:
            value += counts[-2]
        if value < 0:
            raise ValueError(f"run {len(counts)} has the length {value}")
        counts.append(value)
        yield value
        value, shift = 0, 0
    if shift:
        raise ValueError("the text ends within a number")


def decode_runs(counts: tuple[int, ...], size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """A mask from the lengths of its runs.

    Raises:
        ValueError: if the lengths do not add up to the number of pixels.
    """
    height, width = size
    if sum(counts) != height * width:
        raise ValueError(f"expected {height * width} pixels ({width}x{height}), the runs hold {sum(counts)}")
    ones = np.arange(len(counts)) % 2 == 1
    return np.repeat(ones, counts).reshape(width, height).T
