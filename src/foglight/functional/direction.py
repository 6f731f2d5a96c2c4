"""Directions: a tensor divided by its length along some of its axes, and how far apart two directions are.

u = v / |v|,  |v|^2 = sum of v^2 over the axes;  u = 0, without gradient, where |v| is below a floor
d = |u_S - u_T|^2 = 2 - 2 cos(v_S, v_T), between 0 and 4

Symbols: v any tensor; the axes along which one vector lies are named by the caller, the others count vectors.
Source: torch.nn.functional.normalize.
Changed: where there is no direction, `normalize` divides by its epsilon and hands back gradients of 1e12; here they are
zero. The length is the root of a sum of squares, because `torch.linalg.vector_norm` over more than some ten thousand
float32 entries at once is wrong by up to 1e-3 on a CPU. d is a sum of squared differences, because 2 - 2 cos loses all
its digits near convergence.
Cost: one map of the size of v for u, two for d. The teacher's side carries no gradient.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

# A vector shorter than this has no direction; the same floor as that of `torch.nn.functional.normalize`.
SHORTEST: Final = 1e-12


def unit(values: Float[Tensor, "*shape"], dim: int | tuple[int, ...] = 1) -> Float[Tensor, "*shape"]:
    """The direction of every vector that lies along `dim`; zero for one without.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    _, inverse = inverse_length(values.square().sum(dim, keepdim=True))
    return values * inverse


def inverse_length(squared: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Of squared lengths, one where there is a direction and zero elsewhere, and the inverse lengths or zero.

    >>> inverse_length(torch.tensor([4.0, 0.0]))
    (tensor([1., 0.]), tensor([0.5000, 0.0000]))
    """
    alive = squared > SHORTEST**2
    # The inner where() keeps the root away from zero, whose derivative is infinite.
    return alive.to(squared.dtype), torch.where(alive, torch.where(alive, squared, 1.0).rsqrt(), 0.0)


def direction_distance(
    student: Float[Tensor, "*shape"], teacher: Float[Tensor, "*shape"], dim: int | tuple[int, ...]
) -> Float[Tensor, "..."]:
    """Squared distance between the directions of vectors along `dim`, which stay as axes of length one.

    >>> direction_distance(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 5.0]]), 1)
    tensor([[2.]])
    """
    return (unit(student, dim) - unit(teacher.detach(), dim)).square().sum(dim, keepdim=True)
