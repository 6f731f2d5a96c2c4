"""How alike points are: Gram matrices of centred points, and squared distances from them.

G = (X - mean X)(X - mean X)',  d2[i, j] = G[i, i] + G[j, j] - 2 G[i, j]

Shapes: X (n d): n points of d numbers, G and d2 (n n), ' the transpose.
Source: standard; the mean is taken away first because differences do not depend on it, and in float32 a large common
offset would cancel every digit of d2. What is left below the rounding of G is exactly zero: points that coincide have
no direction, and a direction made of rounding would have a huge gradient.
Cost: one n*d copy and n*n numbers, where differences of all pairs would take n*n*d.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def centred_gram(points: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n n"]:
    """Inner products of the points, measured from their mean."""
    centred = points - points.mean(-2, keepdim=True)
    return centred @ centred.mT


def squared_distances(points: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n n"]:
    """Squared Euclidean distances between all points; exactly zero, without gradient, between points that coincide.

    >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([[ 0., 25.],
            [25.,  0.]])
    """
    gram = centred_gram(points)
    squares = gram.diagonal(dim1=-2, dim2=-1)
    distances = squares.unsqueeze(-1) + squares.unsqueeze(-2) - 2 * gram
    rounding = _rounding(points.detach(), squares.detach())
    return without_diagonal(distances.masked_fill(distances <= rounding, 0.0))


def _rounding(points: Float[Tensor, "*batch n d"], squares: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch 1 1"]:
    """How large a squared distance that ought to be zero may come out: from the subtraction of the mean, and from G."""
    step = torch.finfo(points.dtype).eps
    largest = points.square().sum(-1).amax(-1)
    return (4 * (step**2 * largest + step * squares.amax(-1)))[..., None, None]


def without_diagonal(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """The same matrix with zeros, and no gradient, on its diagonal."""
    diagonal = torch.eye(matrix.shape[-1], dtype=torch.bool, device=matrix.device)
    return matrix.masked_fill(diagonal, 0.0)
