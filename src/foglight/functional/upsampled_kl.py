"""Pixel-wise distillation at the label's grid from logits at the heads', without ever holding the upsampled logits.

L = sum over valid i of sum_c w[c, i] t[c, i] (log t[c, i] - log s[c, i]),  s = softmax_c(U z_S / tau)
dL/dz_S = U' (s * sum_c(w t) - w t) / tau

Symbols: z logits of student (b k h w) and teacher (b k g v), U the bilinear resize of either to (H, W) and ' its
transpose, see `upsampling`; t of the teacher likewise; w a weight without gradient that broadcasts to (b k H W).
Source: the sum is that of `weighted_kl` on resized logits; the identity is exact.
Changed: nothing but the order of sums: a strip of rows is upsampled, and its entries and its gradient are taken at once
and summed up on the student's grid.
Cost: the gradient itself, see `known_gradient`, three maps of one image at (h, W) and `upsampling.STRIP_BUDGET` bytes.
"""

from functools import partial
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.known_gradient import with_measured_gradient
from foglight.functional.resize import resize
from foglight.functional.upsampling import upsampling
from foglight.functional.weighted_kl import class_kl_sum, strip_kl

# Both networks' logits and log-probabilities, and the difference.
MATRICES: Final = 5


def resized_class_kl_sum(
    student: Float[Tensor, "b k *student_grid"],
    teacher: Float[Tensor, "b k *teacher_grid"],
    size: tuple[int, ...],
    *,
    align_corners: tuple[bool, bool],
    weight: Float[Tensor, "..."] | None = None,
    valid: Bool[Tensor, "b *grid"] | None = None,
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """The sum over the positions of a grid; zero with a graph where nothing is valid.

    Args:
        student: logits.
        teacher: logits, without gradient.
        size: rows and columns of the grid, or nothing for classification.
        align_corners: of the student's and of the teacher's resize.
        weight: broadcasts to the resized logits; None for one.
        valid: positions that count; None for all.
        temperature: tau.

    >>> one = torch.zeros(1, 4, 1, 1)
    >>> resized_class_kl_sum(one, one, (2, 3), align_corners=(False, False)).item()
    0.0
    """
    if student.shape[2:] == size:
        followed = resize(teacher.detach(), size, align_corners=align_corners[1])
        return class_kl_sum(student, followed, weight=weight, valid=valid, temperature=temperature)
    measure = partial(_kl_and_slope, size=(size[0], size[1]), align_corners=align_corners, temperature=temperature)
    return with_measured_gradient(measure, student, teacher.detach().to(student.dtype), weight, valid)


def _kl_and_slope(
    student: Float[Tensor, "b k h w"],
    teacher: Float[Tensor, "b k g v"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "b H W"] | None,
    *,
    size: tuple[int, int],
    align_corners: tuple[bool, bool],
    temperature: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, "b k h w"]]:
    total, gradient = student.new_zeros(()), torch.empty_like(student)
    laid = None if weight is None else weight.expand(*student.shape[:2], *size).transpose(1, 2)
    ours, theirs = (
        upsampling(logits, size, align_corners=corners, matrices=MATRICES)
        for logits, corners in zip((student, teacher), align_corners, strict=True)
    )
    for image in range(len(student)):
        wide, teacher_wide = ours.widened(student[image]), theirs.widened(teacher[image])
        slopes = torch.zeros_like(wide)
        for strip, teacher_strip in zip(ours.strips, theirs.strips, strict=True):
            value, slope = strip_kl(
                strip.upsample(wide),
                teacher_strip.upsample(teacher_wide),
                None if laid is None else laid[image, strip.where],
                None if valid is None else valid[image, strip.where, None],
                temperature=temperature,
                dim=1,
            )
            strip.add_transposed(slope, slopes)
            total += value
        gradient[image] = ours.narrowed(slopes)
    return total, gradient
