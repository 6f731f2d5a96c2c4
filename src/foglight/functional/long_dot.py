"""The dot product of vectors of any length, in parts short enough for float32.

a . b = sum of the dot products of parts of at most LONGEST numbers

Symbols: a, b vectors of n numbers.
Source: none; in one piece the rounding of a long product in float32 would show.
Cost: no map, where a product and its sum would write one.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST: Final = 2**19


def long_dot(left: Float[Tensor, " n"], right: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """The dot product.

    >>> long_dot(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    tensor(11.)
    """
    if len(left) <= LONGEST:
        return torch.dot(left, right)
    parts = [torch.dot(*pair) for pair in zip(left.split(LONGEST), right.split(LONGEST), strict=True)]
    return torch.stack(parts).sum()
