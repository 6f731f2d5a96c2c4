"""Sums of weighted Kullback-Leibler entries whose gradient is made with the value, so that no map of entries is held.

L = sum over valid i of sum_c w[c, i] t[c, i] (log t[c, i] - log s[c, i])
dL/dz = (s * sum(w t) - w t) / tau, the inner sum over the axis of the softmax

Symbols: z the student's values (b k *grid), s and t softmax of either network's values / tau, over the classes of a
position or over the positions of a channel; w a weight without gradient that broadcasts to z.
Source: the entries are those of `kl`; the gradient is that of any sum of weighted cross-entropies with a softmax.
Changed: nothing but the order of work. Distributions are taken in strips, and both softmaxes, the entries and the
gradient of a strip are done while it is in the cache. Without a weight the code is the same, so that a weight of one
changes no bit.
Cost: one map of the size of z is kept, one more while the gradient is handed on; `upsampling.STRIP_BUDGET` bytes.
"""

from collections.abc import Iterable
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


def kl_and_slope(
    log_student: Float[Tensor, "*shape"],
    log_teacher: Float[Tensor, "*shape"],
    weight: Float[Tensor, "..."] | None,
    *,
    dim: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, "*shape"]]:
    """The sum of weighted entries, and its slope on what the student's softmax over `dim` has read.

    The teacher's log-probabilities are overwritten.
    """
    entries = log_teacher - log_student
    mass = log_teacher.exp_()
    if weight is not None:
        mass *= weight
    value = entries.mul_(mass).sum()
    return value, torch.exp(log_student, out=entries).mul_(mass.sum(dim, keepdim=True)).sub_(mass)


def strip_kl(
    student: Float[Tensor, "*shape"],
    teacher: Float[Tensor, "*shape"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "..."] | None,
    *,
    temperature: float,
    dim: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, "*shape"]]:
    """The same from values before the softmax, the slope on these; what is not valid reaches neither."""
    if temperature != 1:
        student, teacher = student / temperature, teacher / temperature
    if valid is not None:
        # Over classes equal logits diverge by nothing; over space the others share the probability.
        filler = 0.0 if dim == 1 else EXCLUDED * torch.finfo(student.dtype).min
        student, teacher = torch.where(valid, student, filler), torch.where(valid, teacher, filler)
    value, slope = kl_and_slope(student.log_softmax(dim), teacher.log_softmax(dim), weight, dim=dim)
    if valid is not None:
        slope = torch.where(valid, slope, 0.0)
    return value, slope if temperature == 1 else slope.div_(temperature)


class _KLSum(torch.autograd.Function):
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
        total, gradient = student.new_zeros(()), torch.empty(student.shape, dtype=student.dtype, device=student.device)
        ours, theirs, slopes = (each.reshape(*student.shape[:2], -1) for each in (student, teacher, gradient))
        # Strips lie across the distributions, each of which is whole.
        across, numbers = 3 - dim, len(student) * ours.shape[dim]
        strip = rows_within_budget(
            numbers, bytes_per_number=student.element_size(), matrices=MATRICES, budget=STRIP_BUDGET
        )
        inside = None if valid is None else valid.unsqueeze(1)
        for our, their, slope, *laid in zip(
            *(each.split(strip, across) for each in (ours, theirs, slopes)),
            *(_parts(each, student, strip, across) for each in (weight, inside)),
            strict=False,
        ):
            value, found = strip_kl(our, their, *laid, temperature=temperature, dim=dim)
            slope.copy_(found)
            total += value
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor, None, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0], None, None, None, None, None


def _parts(
    values: Float[Tensor, "..."] | Bool[Tensor, "..."] | None, like: Float[Tensor, "b c *grid"], strip: int, axis: int
) -> Iterable[Tensor | None]:
    """The strips of what broadcasts to a map, endlessly None where there is nothing."""
    if values is None:
        return repeat(None)
    return values.expand_as(like).reshape(*like.shape[:2], -1).split(strip, axis)
