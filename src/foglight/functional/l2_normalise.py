"""Vectors of length one.

u = v / ||v||_2 along one axis; a vector shorter than `SHORTEST` becomes zero, without gradient.

Shapes: any; the axis keeps its length.
Source: the normalisation of SKD, DSD and CIRKD's features, torch's `normalize` there.
Changed: torch divides a vector of zeros by 1e-12 and so multiplies its gradient by 1e12; a position where ReLU or
dropout left nothing has no direction, and none can be taught.
Cost: one copy of v.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

# The least length that torch's `normalize` divides by.
SHORTEST: Final = 1e-12


def l2_normalise(values: Float[Tensor, "*shape"], *, dim: int = 1) -> Float[Tensor, "*shape"]:
    """Every vector along `dim` at length one.

    >>> l2_normalise(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    length = torch.linalg.vector_norm(values, dim=dim, keepdim=True)
    reciprocal = torch.where(length > SHORTEST, length.clamp_min(SHORTEST).reciprocal(), 0.0)
    return values * reciprocal
