"""Sums of weighted Kullback-Leibler entries, strip by strip, so that no map of entries is held.

L = sum over valid i of sum_c w[c, i] t[c, i] (log t[c, i] - log s[c, i])
dL/dz = (s * sum(w t) - w t) / tau, the inner sum over the axis of the softmax

Symbols: z the student's values (b k *grid), s and t softmax of either network's values / tau, over the classes of a
position or over the positions of a channel; w a weight without gradient that broadcasts to z.
Source: the entries are those of `kl`; the gradient is that of any sum of weighted cross-entropies with a softmax.
Changed: nothing but the order of work. Distributions are taken in strips, which stay in the cache, and the gradient of
a strip is made with its value. Without a weight the code is the same, so that a weight of one changes no bit.
Cost: the gradient itself, see `known_gradient`, and `upsampling.STRIP_BUDGET` bytes.
"""

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.known_gradient import with_measured_gradient
from foglight.functional.long_dot import long_dot
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
    measure = partial(_kl_and_slope, temperature=temperature, dim=1)
    return with_measured_gradient(measure, student, teacher.detach(), weight, valid)


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
    measure = partial(_kl_and_slope, temperature=temperature, dim=2)
    return with_measured_gradient(measure, student, teacher.detach(), weight, valid)


def strip_kl(
    student: Float[Tensor, "*shape"],
    teacher: Float[Tensor, "*shape"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "..."] | None,
    *,
    temperature: float,
    dim: int,
    out: Float[Tensor, "*shape"] | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, "*shape"]]:
    """The weighted sum over a strip and its slope on the student's values, which `out` takes if it is given.

    What is not valid reaches neither.
    """
    ours, theirs = (_tempered(each, valid, temperature, dim) for each in (student, teacher))
    log_student, log_teacher = ours.log_softmax(dim), theirs.log_softmax(dim)
    entries = log_teacher - log_student
    mass = log_teacher.exp_()
    if weight is not None:
        mass *= weight
    value = long_dot(entries.reshape(-1), mass.reshape(-1))
    slope = log_student.exp_().mul_(mass.sum(dim, keepdim=True).div_(temperature))
    slope = torch.sub(slope, mass, alpha=1 / temperature, out=slope if out is None else out)
    if valid is not None:
        slope.masked_fill_(~valid, 0.0)
    return value, slope


def _kl_and_slope(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "b *grid"] | None,
    *,
    temperature: float,
    dim: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, "b c *grid"]]:
    total, slopes = student.new_zeros(()), torch.empty(student.shape, dtype=student.dtype, device=student.device)
    for *strip, slope in _strips(student, teacher, weight, valid, slopes, dim):
        value, _ = strip_kl(*strip, temperature=temperature, dim=dim, out=slope)
        total += value
    return total, slopes


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


def _strips(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "b *grid"] | None,
    slopes: Float[Tensor, "b c *grid"],
    dim: int,
) -> Iterator[tuple[Any, ...]]:
    """Strips of each, endlessly None where there is nothing; every distribution lies whole in one."""
    across, flat = 3 - dim, (*student.shape[:2], -1)
    ours, theirs, written = (each.reshape(flat) for each in (student, teacher, slopes))
    strip = rows_within_budget(
        len(ours) * ours.shape[dim],
        bytes_per_number=ours.element_size(),
        matrices=MATRICES,
        budget=STRIP_BUDGET,
    )
    laid, inside = (
        repeat(None) if each is None else each.expand_as(student).reshape(flat).split(strip, across)
        for each in (weight, None if valid is None else valid.unsqueeze(1))
    )
    cut = partial(torch.split, split_size_or_sections=strip, dim=across)
    return zip(cut(ours), cut(theirs), laid, inside, cut(written), strict=False)
