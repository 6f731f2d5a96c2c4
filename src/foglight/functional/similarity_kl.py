"""How two networks place the same vectors among fixed keys: a KL of softmaxes of cosine similarities.

L = 1/N * sum_i kl( softmax_m(<t_i, q_m> / tau) || softmax_m(<s_i, q_m> / tau) ),  s_i and t_i of unit length
dL/ds_i = 1/(tau N) * sum_m (p_S[i, m] - p_T[i, m]) q_m,  carried back through the length of s_i

Symbols: s, t student and teacher (b d *grid), one vector of d entries per position; q keys (m d), constant; tau
temperature; N positions that count.
Source: Yang et al. 2022 (CIRKD), eq. 9-14; the row-wise gradient is that of any KL of softmaxes.
Changed: nothing but the order of work. Rows are taken in strips; normalising, both similarities, the divergence and the
gradient of a strip are done while it is in the cache, so that no map of N x m is ever held, and no copy of the anchors.
Cost: one gradient of the student's size is kept; beside it one strip of BUDGET bytes and, per strip, its rows.
"""

from typing import Any, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# Bytes of one strip of similarities: on a CPU what its caches hold, elsewhere enough rows to fill the device.
BUDGET: Final = {"cpu": 8 * 2**20, "other": 256 * 2**20}
# Strips of similarities that are alive at once: both networks' and their difference.
ALIVE: Final = 3
# A vector shorter than this has no direction: it is divided by this instead, and gets no gradient.
LENGTH_FLOOR: Final = 1e-12


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
    value: Tensor = _SimilarityKL.apply(
        student.reshape(*student.shape[:2], -1),
        teacher.detach().reshape(*teacher.shape[:2], -1),
        keys.detach().to(student.dtype),
        valid.reshape(len(valid), -1),
        temperature,
    )
    return value


def unit_length(vectors: Float[Tensor, "b d *grid"]) -> Float[Tensor, "b d *grid"]:
    """Every vector divided by its length.

    >>> unit_length(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min(LENGTH_FLOOR)


def strip_rows(keys: int, values: Tensor) -> int:
    """Rows whose similarities to that many keys fit the budget."""
    budget = BUDGET["cpu" if values.device.type == "cpu" else "other"]
    return max(1, budget // (ALIVE * max(keys, 1) * values.element_size()))


def divergence_and_slope(
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


class _SimilarityKL(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, keys: Tensor, valid: Tensor, temperature: float
    ) -> Tensor:
        total, gradient = student.new_zeros(()), torch.zeros_like(student)
        count = valid.sum().clamp(min=1)
        if len(keys):
            rows, scaled = strip_rows(len(keys), student), (keys / temperature).T
            for ours, theirs, collected, where in zip(student, teacher, gradient, valid, strict=True):
                for strip in where.nonzero().squeeze(1).split(rows):
                    direction, length = _directions(ours, strip)
                    divergence, slope = divergence_and_slope(
                        direction.T @ scaled, _directions(theirs, strip)[0].T @ scaled
                    )
                    total += divergence.sum()
                    collected.index_copy_(1, strip, _through_length(scaled @ slope.T, direction, length))
        ctx.save_for_backward(gradient.div_(count))
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0], None, None, None, None


def _directions(vectors: Float[Tensor, "d p"], strip: Tensor) -> tuple[Float[Tensor, "d n"], Float[Tensor, "1 n"]]:
    chosen = vectors.index_select(1, strip)
    length = torch.linalg.vector_norm(chosen, dim=0, keepdim=True).clamp_min(LENGTH_FLOOR)
    return chosen / length, length


def _through_length(
    slope: Float[Tensor, "d n"], direction: Float[Tensor, "d n"], length: Float[Tensor, "1 n"]
) -> Float[Tensor, "d n"]:
    """The gradient on a vector from that on its direction."""
    along = (slope * direction).sum(0, keepdim=True)
    return torch.where(length > LENGTH_FLOOR, (slope - direction * along) / length, 0.0)
