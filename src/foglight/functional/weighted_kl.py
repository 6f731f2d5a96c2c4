"""Sums of weighted Kullback-Leibler entries, strip by strip, so that no map of entries is held.

L = sum over valid i of sum_c w[c, i] t[c, i] (log t[c, i] - log s[c, i])
dL/dz = (s * sum(w t) - w t) / tau, the inner sum over the axis of the softmax

Symbols: z the student's values (b k *grid), s and t softmax of either network's values / tau, over the classes of a
position or over the positions of a channel; w a weight without gradient that broadcasts to z.
Source: the entries are those of `kl`; the gradient is that of any sum of weighted cross-entropies with a softmax.
Changed: nothing but the order of work. Distributions are taken in strips, which stay in the cache, and are made again
for the gradient from their normalisers. Without a weight the code is the same, so that a weight of one changes no bit.
Cost: the gradient itself, two numbers per distribution and `upsampling.STRIP_BUDGET` bytes.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Any, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from foglight.functional.row_budget import rows_within_budget
from foglight.functional.upsampling import STRIP_BUDGET

# Both log-probabilities, their difference and a probability.
MATRICES: Final = 4
# Of the smallest number: a value whose probability is zero, and whose difference to another such value is finite.
EXCLUDED: Final = 0.25


def class_kl_sum(
    student: Float[Tensor, "b k *grid"],
    teacher: Float[Tensor, "b k *grid"],
    *,
    weight: Float[Tensor, "..."] | None = None,
    valid: Bool[Tensor, "b *grid"] | None = None,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """The sum over positions, the softmax over classes; zero with a graph where nothing is valid.

    Args:
        student: logits.
        teacher: logits, without gradient.
        weight: broadcasts to the logits; None for one.
        valid: positions that count; None for all.
        temperature: tau.

    >>> student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    >>> round(class_kl_sum(student, teacher, weight=torch.tensor(2.0)).item(), 4)
    0.2616
    """
    total: Tensor = _KLSum.apply(student, teacher.detach(), weight, valid, temperature, 1)
    return total


def space_kl_sum(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    *,
    weight: Float[Tensor, "..."] | None = None,
    valid: Bool[Tensor, "b *grid"] | None = None,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """The sum over channels, the softmax over positions; those that are not valid have probability zero on both sides.

    Args:
        student: logits or features.
        teacher: without gradient.
        weight: broadcasts to the student's values; None for one.
        valid: positions that take part; None for all.
        temperature: tau.

    >>> space_kl_sum(torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)).item()
    0.0
    """
    total: Tensor = _KLSum.apply(student, teacher.detach(), weight, valid, temperature, 2)
    return total


def strip_kl(
    student: Float[Tensor, "*shape"],
    teacher: Float[Tensor, "*shape"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "..."] | None,
    *,
    temperature: float,
    dim: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, "*shape"]]:
    """The weighted sum over a strip and its slope on the student's values; what is not valid reaches neither."""
    ours, theirs = (_tempered(each, valid, temperature, dim) for each in (student, teacher))
    log_student = ours.log_softmax(dim)
    value, mass = _sum_and_mass(log_student, theirs.log_softmax(dim), weight)
    slope = _slope(log_student.exp_(), mass, valid, dim)
    return value, slope if temperature == 1 else slope.div_(temperature)


class _KLSum(torch.autograd.Function):
    """The backward pass makes both distributions again: no map but the gradient is ever held."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        weight: Tensor | None,
        valid: Tensor | None,
        temperature: float,
        dim: int,
    ) -> Tensor:
        ctx.save_for_backward(student, teacher, weight, valid)
        ctx.temperature, ctx.dim, ctx.normalisers = temperature, dim, []
        total = student.new_zeros(())
        for our, their, laid, inside in _strips(student, teacher, weight, valid, dim):
            ours, theirs = (_tempered(each, inside, temperature, dim) for each in (our, their))
            log_student, log_teacher = ours.log_softmax(dim), theirs.log_softmax(dim)
            ctx.normalisers.append((_normaliser(ours, log_student, dim), _normaliser(theirs, log_teacher, dim)))
            total += _sum_and_mass(log_student, log_teacher, laid)[0]
        return total

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor, None, None, None, None, None]:
        student, teacher, weight, valid = ctx.saved_tensors
        dim, given = ctx.dim, grad_outputs[0] / ctx.temperature
        gradient = torch.empty(student.shape, dtype=student.dtype, device=student.device)
        strips = _strips(student, teacher, weight, valid, dim, gradient)
        for (our, their, laid, inside, slope), normalisers in zip(strips, ctx.normalisers, strict=True):
            probability, mass = (
                (_tempered(each, inside, ctx.temperature, dim) - normaliser).exp_()
                for each, normaliser in zip((our, their), normalisers, strict=True)
            )
            if laid is not None:
                mass *= laid
            torch.mul(_slope(probability, mass, inside, dim), given, out=slope)
        return gradient, None, None, None, None, None


def _tempered(
    values: Float[Tensor, "*shape"], valid: Bool[Tensor, "..."] | None, temperature: float, dim: int
) -> Float[Tensor, "*shape"]:
    """What the softmax reads."""
    if temperature != 1:
        values = values / temperature
    if valid is None:
        return values
    # Over classes equal logits diverge by nothing; over space the others share the probability.
    return torch.where(valid, values, 0.0 if dim == 1 else EXCLUDED * torch.finfo(values.dtype).min)


def _normaliser(values: Float[Tensor, "*shape"], log_probability: Float[Tensor, "*shape"], dim: int) -> Tensor:
    """The log of the sum of exponentials, from the most probable entry, where the difference is exact."""
    return values.amax(dim, keepdim=True) - log_probability.amax(dim, keepdim=True)


def _sum_and_mass(
    log_student: Float[Tensor, "*shape"], log_teacher: Float[Tensor, "*shape"], weight: Float[Tensor, "..."] | None
) -> tuple[Float[Tensor, ""], Float[Tensor, "*shape"]]:
    """The sum of weighted entries, and w t, which is written over the teacher's log-probabilities."""
    entries = log_teacher - log_student
    mass = log_teacher.exp_()
    if weight is not None:
        mass *= weight
    return entries.mul_(mass).sum(), mass


def _slope(
    probability: Float[Tensor, "*shape"],
    mass: Float[Tensor, "*shape"],
    valid: Bool[Tensor, "..."] | None,
    dim: int,
) -> Float[Tensor, "*shape"]:
    """Of a sum of weighted entries: s * sum(w t) - w t, written over s."""
    slope = probability.mul_(mass.sum(dim, keepdim=True)).sub_(mass)
    return slope if valid is None else torch.where(valid, slope, 0.0)


def _strips(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "b *grid"] | None,
    dim: int,
    *others: Float[Tensor, "b c *grid"],
) -> Iterator[tuple[Any, ...]]:
    """Strips of both, of the weight and of what is valid (endlessly None where there is nothing), and of other maps.

    They lie across the distributions, each of which is whole.
    """
    across, flat = 3 - dim, (*student.shape[:2], -1)
    maps = [each.reshape(flat) for each in (student, teacher, *others)]
    strip = rows_within_budget(
        len(student) * maps[0].shape[dim],
        bytes_per_number=student.element_size(),
        matrices=MATRICES,
        budget=STRIP_BUDGET,
    )
    laid = [
        repeat(None) if each is None else each.expand_as(student).reshape(flat).split(strip, across)
        for each in (weight, None if valid is None else valid.unsqueeze(1))
    ]
    ours, theirs, *rest = (each.split(strip, across) for each in maps)
    return zip(ours, theirs, *laid, *rest, strict=False)
