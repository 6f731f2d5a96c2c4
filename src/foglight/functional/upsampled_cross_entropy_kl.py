"""The task loss and pixel-wise distillation at the label's grid, in one pass that holds nothing of that size.

CE = 1/M * sum over valid i of w[i] a[y_i] (-log q[y_i, i]),  q = softmax_c(U z_S),  M = sum over valid i of a[y_i]
KL = 1/N * sum over taught i of w[i] sum_c t[c, i] (log t[c, i] - log s[c, i])
dCE/dz_S = U' (w a[y] (q - onehot(y))) / M;  dKL/dz_S = U' (w (s - t)) / (tau N)

Symbols: z logits of student (b k h w) and teacher (b k g v), U the bilinear resize of either to the label's grid (H, W)
and ' its transpose, see `upsampling`; y labels (b H W), a class weights (k) and w pixel weights (b 1 H W), one by
default; s = softmax_c(U z_S / tau), t of the teacher likewise; N pixels that are taught: all, or the valid ones.
Source: the identities are exact; the terms are those of `cross_entropy` and, times tau^2, of `kd` with `grid: label`.
Changed: nothing but the order of sums: a strip of rows is upsampled, and its values and its gradient are taken at once
and summed up on the student's grid.
Cost: two gradients of the student's size are kept, four maps of one image at (h, W) and `upsampling.STRIP_BUDGET` bytes
beside them. As two losses, `cross_entropy` and `kd`, each upsamples by itself, in the same strips.
"""

from dataclasses import dataclass
from typing import Any, Final, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from foglight.functional.masking import legal_label
from foglight.functional.upsampling import upsampling

# Both networks' logits and log-probabilities; what follows is written over them.
MATRICES: Final = 4


def upsampled_cross_entropy_and_kl(
    student: Float[Tensor, "b k h w"],
    teacher: Float[Tensor, "b k g v"],
    label: Int[Tensor, "b H W"],
    *,
    ignore_index: int,
    align_corners: tuple[bool, bool],
    temperature: float = 1.0,
    class_weights: Float[Tensor, " k"] | None = None,
    pixel_weight: Float[Tensor, "b 1 H W"] | None = None,
    mask_ignored: bool = False,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """CE and KL, each zero with a graph where no pixel counts.

    Args:
        student: logits.
        teacher: logits, without gradient.
        label: classes.
        ignore_index: the label of pixels that CE leaves out.
        align_corners: of the student's and of the teacher's resize.
        temperature: tau of KL.
        class_weights: of CE.
        pixel_weight: of both terms, without gradient; the denominators do not see it.
        mask_ignored: KL leaves out those pixels too.

    Raises:
        ValueError: if the temperature is not positive.

    >>> one, label = torch.zeros(1, 4, 1, 1), torch.tensor([[[0, 255]]])
    >>> upsampled_cross_entropy_and_kl(one, one, label, ignore_index=255, align_corners=(True, True))
    (tensor(1.3863), tensor(0.))
    """
    if not temperature > 0:
        raise ValueError(f"expected temperature > 0, got {temperature}")
    target = _Target(label, ignore_index, mask_ignored, class_weights, pixel_weight, temperature, align_corners)
    cross_entropy, divergence = _CrossEntropyAndKL.apply(student, teacher.detach().to(student.dtype), target)
    return cross_entropy, divergence


@final
@dataclass(frozen=True)
class _Target:
    label: Int[Tensor, "b H W"]
    ignore_index: int
    mask_ignored: bool
    class_weights: Float[Tensor, " k"] | None
    pixel_weight: Float[Tensor, "b 1 H W"] | None
    temperature: float
    align_corners: tuple[bool, bool]

    def rows(self, image: int, where: slice, dtype: torch.dtype) -> "_Rows":
        """Of an image; what has the label's size is made for these rows alone."""
        label, valid = legal_label(self.label[image, where, None].long(), ignore_index=self.ignore_index)
        mass = valid.to(dtype) if self.class_weights is None else self.class_weights.to(dtype)[label] * valid
        taught = valid.to(dtype) if self.mask_ignored else None
        parts = torch.stack([mass.sum(), mass.new_tensor(mass.numel()) if taught is None else taught.sum()])
        if self.pixel_weight is None:
            return _Rows(label, mass, taught, parts)
        weight = self.pixel_weight[image, 0, where, None].to(dtype)
        return _Rows(label, mass * weight, weight if taught is None else taught * weight, parts)


@final
@dataclass(frozen=True)
class _Rows:
    """Their legal labels, what a pixel counts in CE and in KL (None for one each), and parts of both denominators."""

    label: Int[Tensor, "strip 1 W"]
    counted: Float[Tensor, "strip 1 W"]
    taught: Float[Tensor, "strip 1 W"] | None
    parts: Float[Tensor, "2"]


class _CrossEntropyAndKL(torch.autograd.Function):
    """The gradient is made with the value, while a strip is at hand."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, target: _Target) -> tuple[Tensor, Tensor]:
        values, denominators = student.new_zeros(2), student.new_zeros(2)
        slopes = torch.empty_like(student), torch.empty_like(student)
        size = (target.label.shape[1], target.label.shape[2])
        ours, theirs = (
            upsampling(logits, size, align_corners=corners, matrices=MATRICES)
            for logits, corners in zip((student, teacher), target.align_corners, strict=True)
        )
        for image in range(len(student)):
            wide, teacher_wide = ours.widened(student[image]), theirs.widened(teacher[image])
            totals = torch.zeros_like(wide), torch.zeros_like(wide)
            for strip, teacher_strip in zip(ours.strips, theirs.strips, strict=True):
                rows = target.rows(image, strip.where, student.dtype)
                found, strip_slopes = _both(
                    strip.upsample(wide), teacher_strip.upsample(teacher_wide), rows, temperature=target.temperature
                )
                for slope, total in zip(strip_slopes, totals, strict=True):
                    strip.add_transposed(slope, total)
                denominators += rows.parts
                values += found
            for slope, total in zip(slopes, totals, strict=True):
                slope[image] = ours.narrowed(total)
        # Of no pixel, or of pixels whose classes weigh nothing, the sum is zero whatever it is divided by.
        denominators = torch.where(denominators > 0, denominators, 1.0)
        slopes[0].div_(denominators[0])
        slopes[1].div_(denominators[1] * target.temperature)
        ctx.save_for_backward(*slopes)
        cross_entropy, divergence = values / denominators
        return cross_entropy, divergence

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor, None, None]:
        cross_entropy_slope, kl_slope = ctx.saved_tensors
        return grad_outputs[0] * cross_entropy_slope + grad_outputs[1] * kl_slope, None, None


def _both(
    student: Float[Tensor, "strip k W"],
    teacher: Float[Tensor, "strip k W"],
    rows: _Rows,
    *,
    temperature: float,
) -> tuple[Float[Tensor, "2"], tuple[Float[Tensor, "strip k W"], Float[Tensor, "strip k W"]]]:
    """The weighted sums over a strip, and their slopes on the logits, which are overwritten; that of KL times tau."""
    label, counted, taught = rows.label, rows.counted, rows.taught
    log_probability = torch.log_softmax(student, dim=1)
    cross_entropy = -(log_probability.gather(1, label) * counted).sum()
    if temperature == 1:
        log_student, log_teacher = log_probability, torch.log_softmax(teacher, dim=1)
    else:
        log_student, log_teacher = (torch.log_softmax(each.div_(temperature), dim=1) for each in (student, teacher))
    entries = torch.sub(log_teacher, log_student, out=student)
    teacher_mass = log_teacher.exp_()
    if taught is not None:
        teacher_mass *= taught
    divergence = entries.mul_(teacher_mass).sum()
    probability = log_probability.exp_()
    tempered = probability if temperature == 1 else log_student.exp_()
    if taught is None:
        kl_slope = torch.sub(tempered, teacher_mass, out=teacher)
    else:
        kl_slope = torch.mul(tempered, taught, out=teacher).sub_(teacher_mass)
    slope = probability.mul_(counted).scatter_add_(1, label, -counted)
    return torch.stack([cross_entropy, divergence]), (slope, kl_slope)
