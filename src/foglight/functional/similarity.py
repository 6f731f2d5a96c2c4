"""How alike points are: unit vectors, Gram matrices of centred points, and squared distances from them.

G = (X - mean X)(X - mean X)',  d2[i, j] = G[i, i] + G[j, j] - 2 G[i, j]

Shapes: X (n d): n points of d numbers, G and d2 (n n), ' the transpose.
Source: standard; the mean is taken away first because differences do not depend on it, and in float32 a large common
offset would cancel every digit of d2.
Cost: one n*d copy and n*n numbers, where differences of all pairs would take n*n*d.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

# Below this a vector counts as zero and keeps its direction undefined; far below any float32 feature's rounding.
NORM_FLOOR: Final = 1e-12


def unit(values: Float[Tensor, "*shape"], *, dim: int = -1, order: float = 2.0) -> Float[Tensor, "*shape"]:
    """Vectors along `dim` divided by their norm; a zero vector stays zero and has a zero gradient.

    >>> unit(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """
    return F.normalize(values, p=order, dim=dim, eps=NORM_FLOOR)


def centred_gram(points: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n n"]:
    """Inner products of the points, measured from their mean."""
    centred = points - points.mean(-2, keepdim=True)
    return centred @ centred.mT


def squared_distances(points: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n n"]:
    """Squared Euclidean distances between all points, never negative, exactly zero on the diagonal.

    >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([[ 0., 25.],
            [25.,  0.]])
    """
    gram = centred_gram(points)
    squares = gram.diagonal(dim1=-2, dim2=-1)
    distances = squares.unsqueeze(-1) + squares.unsqueeze(-2) - 2 * gram
    return without_diagonal(distances.clamp_min(0))


def without_diagonal(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """The same matrix with zeros, and no gradient, on its diagonal."""
    diagonal = torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
    return matrix.masked_fill(diagonal, 0.0)
