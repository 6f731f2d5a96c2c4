"""How two networks place the same vectors among fixed keys: a KL of softmaxes of cosine similarities.

L = 1/N * sum_i kl( softmax_m(<t_i, q_m> / tau) || softmax_m(<s_i, q_m> / tau) ),  s_i and t_i of unit length
dL/ds_i = 1/(tau N) * sum_m (p_S[i, m] - p_T[i, m]) q_m,  carried back through the length of s_i

Symbols: s, t student and teacher (b d *grid), one vector of d entries per position; q keys (m d), constant; tau
temperature; N positions that count.
Source: Yang et al. 2022 (CIRKD), its memory-based distillation; the row-wise gradient is that of any KL of softmaxes.
Changed: nothing but the order of work. Rows are taken in strips; normalising, both similarities, the divergence and the
gradient of a strip are done while it is in the cache, so that no map of N x m is ever held, and no copy of the anchors.
Cost: one gradient of the student's size is kept; beside it one strip of `row_budget.BUDGET` bytes.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.direction import SHORTEST, unit
from foglight.functional.known_gradient import with_gradient
from foglight.functional.row_budget import rows_within_budget

# Strips of similarities that are alive at once: both networks' and their difference.
MATRICES: Final = 3


def similarity_kl(
    student: Float[Tensor, "b d *grid"],
    teacher: Float[Tensor, "b d *grid"],
    keys: Float[Tensor, "m d"],
    valid: Bool[Tensor, "b *grid"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """The mean divergence over the valid positions; zero with a graph where there is no position or no key.

    Args:
        student: vectors of any length.
        teacher: on the same grid, without gradient.
        keys: of unit length, without gradient.
        valid: positions that count.
        temperature: tau.

    >>> axes, there = torch.eye(2), torch.ones(2, dtype=torch.bool)
    >>> similarity_kl(axes, 3 * axes, axes, there, temperature=1.0).item()
    0.0
    """
    student, teacher = (each.reshape(*each.shape[:2], -1) for each in (student, teacher))
    found = _mean_and_slope(student, teacher, keys.to(student.dtype), valid.reshape(len(valid), -1), temperature)
    return with_gradient(student, *found)


def _divergence_and_slope(
    student: Float[Tensor, "n m"], teacher: Float[Tensor, "n m"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n m"]]:
    """Per row kl(softmax(teacher) || softmax(student)) and its gradient p_S - p_T; both arguments are overwritten."""
    # The largest logit of a row is zero from here on, so that no exponential overflows and no mass is below one.
    student -= student.amax(1, keepdim=True)
    teacher -= teacher.amax(1, keepdim=True)
    gap = teacher - student
    student_mass = student.exp_().sum(1, keepdim=True)
    teacher_mass = teacher.exp_().sum(1, keepdim=True)
    teacher /= teacher_mass
    divergence = gap.mul_(teacher).sum(1) + (student_mass / teacher_mass).log_().squeeze(1)
    return divergence, student.div_(student_mass).sub_(teacher)


@torch.no_grad()
def _mean_and_slope(
    student: Float[Tensor, "b d n"],
    teacher: Float[Tensor, "b d n"],
    keys: Float[Tensor, "m d"],
    valid: Bool[Tensor, "b n"],
    temperature: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, "b d n"]]:
    total, gradient = student.new_zeros(()), torch.zeros_like(student)
    count = valid.sum().clamp(min=1)
    if len(keys):
        rows = rows_within_budget(len(keys), bytes_per_number=student.element_size(), matrices=MATRICES)
        scaled = (keys / temperature).T
        for ours, theirs, slopes, where in zip(student, teacher, gradient, valid, strict=True):
            for strip in where.nonzero().squeeze(1).split(rows):
                value, slope = _strip(ours[:, strip], theirs[:, strip], scaled)
                total += value
                slopes[:, strip] = slope
    return total / count, gradient.div_(count)


def _strip(
    student: Float[Tensor, "d n"], teacher: Float[Tensor, "d n"], keys: Float[Tensor, "d m"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "d n"]]:
    """The divergence summed over the columns, and its gradient on those of the student."""
    length = torch.linalg.vector_norm(student, dim=0)
    # A vector without direction is similar to nothing, and gets no gradient.
    reciprocal = torch.where(length > SHORTEST, length.clamp_min(SHORTEST).reciprocal(), 0.0)
    direction = student * reciprocal
    divergence, slope = _divergence_and_slope(direction.T @ keys, unit(teacher, dim=0).T @ keys)
    on_direction = keys @ slope.T
    along = (on_direction * direction).sum(0)
    return divergence.sum(), (on_direction - direction * along) * reciprocal
