"""Kullback-Leibler divergences kl(teacher || student) before they are summed, in log-space.

By class, at every position i:  d[c, i] = t[c, i] * (log t[c, i] - log s[c, i]),  s = softmax_c(z / tau), t likewise.
Over space, in every channel c: d[c, i] as above with s = softmax_i(z[c] / tau) over all positions of the channel.

Symbols: z the student's values (b k *grid), s and t probabilities, tau the temperature, d of the shape of z. Sums over
c (by class) or over i (over space) are divergences, single entries may be negative. No factor tau^2 is applied.
Source: Hinton et al. 2015 (by class); Shu et al. 2021, "Channel-wise knowledge distillation", eq. 4 (over space).
Changed: log-softmax instead of softmax().log(), which gives infinities at a logit gap of about 100 in float32.
Cost: three maps of the size of z. The teacher's side carries no gradient.
"""

from math import prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def class_kl(
    student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], *, temperature: float = 1.0
) -> Float[Tensor, "b k *grid"]:
    """The entries of kl(teacher || student) with a softmax over the classes of every position.

    >>> student, teacher = torch.zeros(1, 2), torch.tensor([[3.0, 3.0]]).log()
    >>> class_kl(student, teacher).sum().item()
    0.0
    """
    log_teacher = torch.log_softmax(teacher.detach() / temperature, dim=1)
    log_student = torch.log_softmax(student / temperature, dim=1)
    return log_teacher.exp() * (log_teacher - log_student)


def class_mass(
    student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], *, temperature: float = 1.0
) -> Float[Tensor, "b k *grid"]:
    """The entries s - t: what turns those of `class_kl` into those of the generalised divergence, each non-negative."""
    probability = torch.softmax(teacher.detach() / temperature, dim=1)
    return torch.softmax(student / temperature, dim=1) - probability


def soft_cross_entropy(
    student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], *, temperature: float = 1.0
) -> Float[Tensor, "b k *grid"]:
    """-t log s: the gradient of `class_kl`, plus the teacher's entropy in the value."""
    probability = torch.softmax(teacher.detach() / temperature, dim=1)
    return -probability * torch.log_softmax(student / temperature, dim=1)


def space_kl(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    *,
    temperature: float = 1.0,
    valid: Bool[Tensor, "b *grid"] | None = None,
) -> Float[Tensor, "b c *grid"]:
    """The entries of kl(teacher || student) with a softmax over the positions of every channel.

    Args:
        student: logits or features.
        teacher: on the same grid.
        temperature: tau.
        valid: positions that take part; the others have probability zero on both sides and no gradient.

    >>> space_kl(torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)).sum().item()
    0.0
    """
    log_teacher = log_softmax_over_space(teacher.detach(), temperature=temperature, valid=valid)
    log_student = log_softmax_over_space(student, temperature=temperature, valid=valid)
    return log_teacher.exp() * (log_teacher - log_student)


def log_softmax_over_space(
    values: Float[Tensor, "b c *grid"], *, temperature: float = 1.0, valid: Bool[Tensor, "b *grid"] | None = None
) -> Float[Tensor, "b c *grid"]:
    """Log-probabilities of the positions of every channel; uniform in an image without a valid position."""
    scaled = values / temperature
    if valid is not None:
        # Finite, so that zero probability times the difference of two such entries is zero and not NaN.
        excluded = torch.finfo(scaled.dtype).min / 4
        scaled = scaled.masked_fill(~valid.unsqueeze(1), excluded)
    flat = scaled.reshape(*scaled.shape[:2], prod(scaled.shape[2:]))
    return torch.log_softmax(flat, dim=-1).view_as(scaled)
