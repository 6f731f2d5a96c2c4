"""How alike points are: Gram matrices of centred points, and squared distances from them.

G = (X - mean X)(X - mean X)',  d2[i, j] = G[i, i] + G[j, j] - 2 G[i, j]

Shapes: X (n d): n points of d numbers, G and d2 (n n), ' the transpose.
Source: standard; the mean is taken away first because differences do not depend on it, and in float32 a large common
offset would cancel every digit of d2. What is left below the rounding of G is exactly zero: points that coincide have
no direction, and a direction made of rounding would have a huge gradient.
Cost: one n*d copy and n*n numbers, where differences of all pairs would take n*n*d.
"""

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor


@final
class Geometry(NamedTuple):
    """How points lie to one another, whatever the origin.

    Attributes:
        gram: inner products measured from the mean of the points.
        squares: squared distances, exactly zero, without gradient, between points that coincide.
    """

    gram: Float[Tensor, "*batch n n"]
    squares: Float[Tensor, "*batch n n"]


def geometry(points: Float[Tensor, "*batch n d"]) -> Geometry:
    """Inner products and squared distances of all points.

    >>> geometry(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).squares
    tensor([[ 0., 25.],
            [25.,  0.]])
    """
    centred = points - points.mean(-2, keepdim=True)
    gram = centred @ centred.mT
    lengths = gram.diagonal(dim1=-2, dim2=-1)
    squares = lengths.unsqueeze(-1) + lengths.unsqueeze(-2) - 2 * gram
    rounding = _rounding(points.detach(), lengths.detach())
    return Geometry(gram, without_diagonal(squares.masked_fill(squares <= rounding, 0.0)))


def _rounding(points: Float[Tensor, "*batch n d"], lengths: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch 1 1"]:
    """How large a squared distance that ought to be zero may come out: from the subtraction of the mean, and from G."""
    step = torch.finfo(points.dtype).eps
    largest = torch.linalg.vector_norm(points, dim=-1).square().amax(-1)
    return (4 * (step**2 * largest + step * lengths.amax(-1)))[..., None, None]


def without_diagonal(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """The same matrix with zeros, and no gradient, on its diagonal."""
    diagonal = torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
    return matrix.masked_fill(diagonal, 0.0)
