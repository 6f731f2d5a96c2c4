"""Dependence between two sets of representations: HSIC, CKA, and the MMD of a quadratic kernel.

HSIC(K, L) = <K~, L~> / normaliser,  CKA(K, L) = <K~, L~> / (|K~| |L~|)
MMD^2(X, Y) = mean_ij (x_i.x_j)^2 + mean_ij (y_i.y_j)^2 - 2 mean_ij (x_i.y_j)^2 = | X'X / m - Y'Y / n |^2

Symbols: K, L kernels (n n) over the same n examples; K~ the centred one: H K H with H = I - 11'/n and normaliser
(n - 1)^2 (biased), or the U-centred one with a zero diagonal and normaliser n (n - 3) (unbiased); |.| Frobenius norm;
X (m d), Y (n d) rows; ' the transpose.
Source: Gretton et al. 2005, eq. 9; Kornblith et al. 2019, eq. 2-4; Nguyen, Raghu & Kornblith 2021, eq. 3 (unbiased);
Szekely & Rizzo 2014 (U-centring); Huang & Wang 2017, eq. 7 (MMD). Public code: yuanli2333/CKA @ a1cfa19,
AntixK/PyTorch-Model-Compare @ 869d3ec, choasma/HSIC-bottleneck @ 9f1fe24.
Changed: all sums are taken of centred kernels. The printed three-term form subtracts numbers of like size: in float32
with 512 channels of 20000 positions it is 4 % off, the centred form is right to 1e-7.
Cost: linear CKA and MMD hold n*n or d*d numbers, whichever is fewer.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.direction import unit
from foglight.functional.known_gradient import with_gradient
from foglight.functional.similarity import geometry, without_diagonal

# A dependence below this is rounding; only a constant representation, which has none, comes near.
DEPENDENCE_FLOOR: Final = 1e-12
FEWEST_UNBIASED: Final = 4


def centred(gram: Float[Tensor, "*batch n n"], *, unbiased: bool = False) -> Float[Tensor, "*batch n n"]:
    """H K H, or the U-centred kernel: zero diagonal and rows that sum to zero.

    Raises:
        ValueError: for the unbiased form of fewer than four examples.
    """
    examples = gram.shape[-1]
    if not unbiased:
        rows = gram.mean(-1, keepdim=True)
        return gram - rows - gram.mean(-2, keepdim=True) + rows.mean(-2, keepdim=True)
    if examples < FEWEST_UNBIASED:
        raise ValueError(f"expected at least {FEWEST_UNBIASED} examples for the unbiased form, got {examples}")
    hollow = without_diagonal(gram)
    rows = hollow.sum(-1, keepdim=True) / (examples - 2)
    columns = hollow.sum(-2, keepdim=True) / (examples - 2)
    total = rows.sum(-2, keepdim=True) / (examples - 1)
    return without_diagonal(hollow - rows - columns + total)


def hsic(
    student: Float[Tensor, "*batch n n"], teacher: Float[Tensor, "*batch n n"], *, unbiased: bool = False
) -> Float[Tensor, "*batch"]:
    """The Hilbert-Schmidt independence criterion of two kernels over the same examples.

    >>> hsic(torch.eye(2), torch.eye(2)).item()
    1.0
    """
    examples = student.shape[-1]
    normaliser = examples * (examples - 3) if unbiased else max(examples - 1, 1) ** 2
    return _inner(centred(student, unbiased=unbiased), centred(teacher, unbiased=unbiased)) / normaliser


def cka(
    student: Float[Tensor, "*batch n n"], teacher: Float[Tensor, "*batch n n"], *, unbiased: bool = False
) -> Float[Tensor, "*batch"]:
    """Centred kernel alignment, 1 for equal kernels; the unbiased one may be negative.

    >>> round(cka(torch.eye(2), 3 * torch.eye(2)).item(), 6)
    1.0
    """
    ours = unit(centred(student, unbiased=unbiased).flatten(-2), dim=-1)
    theirs = unit(centred(teacher, unbiased=unbiased).flatten(-2), dim=-1)
    return _inner(ours.unsqueeze(-1), theirs.unsqueeze(-1))


def linear_cka(
    student: Float[Tensor, "*batch n p"], teacher: Float[Tensor, "*batch n q"], *, unbiased: bool = False
) -> Float[Tensor, "*batch"]:
    """CKA of the kernels X X' and Y Y': rows are examples. Zero for a constant representation.

    Invariant to rotations, shifts and isotropic scales of either side's columns.
    """
    ours, theirs = _centred_rows(student), _centred_rows(teacher)
    examples, (p, q) = student.shape[-2], (student.shape[-1], teacher.shape[-1])
    if unbiased or 2 * examples**2 <= p * p + q * q + p * q:
        kernels = ours @ ours.mT, theirs @ theirs.mT
        if unbiased:
            return cka(*kernels, unbiased=True)
        shared, own, given = _inner(*kernels), _norm(kernels[0]), _norm(kernels[1])
    else:
        shared = _norm(ours.mT @ theirs).square()
        own, given = _norm(ours.mT @ ours), _norm(theirs.mT @ theirs)
    return shared / (own * given).clamp_min(DEPENDENCE_FLOOR)


def gaussian_kernel(points: Float[Tensor, "*batch n d"], bandwidth: float | None = None) -> Float[Tensor, "*batch n n"]:
    """exp(-|x_i - x_j|^2 / (2 s^2)).

    Args:
        points: rows are examples.
        bandwidth: s; None takes the median of the non-zero squared distances for s^2.

    >>> gaussian_kernel(torch.tensor([[0.0], [2.0]]), 2.0)
    tensor([[1.0000, 0.6065],
            [0.6065, 1.0000]])
    """
    distances = geometry(points).squares
    if bandwidth is None:
        # quantile, not median: of an even number of values the two middle ones are averaged.
        return torch.exp(-distances / (2 * torch.quantile(distances[distances > 0], 0.5)))
    return torch.exp(-distances / (2 * bandwidth**2))


def quadratic_mmd(
    student: Float[Tensor, "*batch m d"], teacher: Float[Tensor, "*batch n d"]
) -> Float[Tensor, "*batch"]:
    """Squared maximum mean discrepancy of the rows under the kernel (x.y)^2; rows may differ in number.

    The teacher has no gradient.

    >>> rows = torch.eye(2)
    >>> quadratic_mmd(rows, rows[:1]).item()
    0.5
    """
    (m, d), n, teacher = student.shape[-2:], teacher.shape[-2], teacher.detach()
    if d <= max(m, n):
        return (student.mT @ student / m - teacher.mT @ teacher / n).square().sum((-2, -1))
    return with_gradient(student, *_mmd_and_slope(student, teacher))


@torch.no_grad()
def _mmd_and_slope(
    student: Float[Tensor, "*batch m d"], teacher: Float[Tensor, "*batch n d"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch m d"]]:
    """Over kernels of the rows. A kernel's own gradient is one product; autograd, which sees two factors, makes two."""
    own, given, shared = student @ student.mT, teacher @ teacher.mT, student @ teacher.mT
    number = own.square().mean((-2, -1)) + given.square().mean((-2, -1)) - 2 * shared.square().mean((-2, -1))
    m, n = shared.shape[-2:]
    return number, own.mul_(4 / m**2) @ student - shared.mul_(4 / (m * n)) @ teacher


def _centred_rows(rows: Float[Tensor, "*batch n p"]) -> Float[Tensor, "*batch n p"]:
    """Rows minus their mean, of unit norm together, so that no power of a feature's scale overflows."""
    shifted = rows - rows.mean(-2, keepdim=True)
    return unit(shifted.flatten(-2), dim=-1).view_as(shifted)


def _inner(left: Float[Tensor, "*batch n k"], right: Float[Tensor, "*batch n k"]) -> Float[Tensor, "*batch"]:
    return (left * right).sum((-2, -1))


def _norm(matrix: Float[Tensor, "*batch n k"]) -> Float[Tensor, "*batch"]:
    return torch.linalg.vector_norm(matrix, dim=(-2, -1))
