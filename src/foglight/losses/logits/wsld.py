"""Weighted soft labels: the teacher counts where the student is worse than it.

w[i] = 1 - exp(-l_S[i] / (l_T[i] + EPSILON)),  l = -log softmax(z)[y_i, i] at temperature 1, without gradient
L = tau^2 / N * sum over valid i of w[i] * sum_c -t[c, i] * log s[c, i],  s and t softmax over classes of z / tau

Symbols: z logits (b k h w), y labels, N valid pixels.
Source: Zhou et al. 2021, "Rethinking soft labels for knowledge distillation: a bias-variance tradeoff perspective",
section 4; bellymonster/Weighted-Soft-Label-Distillation `knowledge_distiller.py` @ 67820dd.
Changed: the hard cross-entropy that the published class adds is a loss of its own here (the published factor of this
term is 2.5); ignored pixels are left out; `divergence: kl` subtracts the teacher's entropy from the value, which has
the same gradient and is zero where both agree.
Cost: at most five maps of b*k*h*w numbers at once, the gradient included; no parameter.
"""

from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from foglight.functional.kl import class_kl, soft_cross_entropy
from foglight.functional.label_grid import label_on_grid
from foglight.functional.masking import at_label, valid_count
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.losses.paired_logits import corners_of, paired_logits
from foglight.types import Batch, Grid, ModelInfo, ModelOutput, Requires

# Published: keeps the ratio finite where the teacher is certain.
EPSILON: Final = 1e-7


@torch.no_grad()
def soft_label_weight(
    student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], label: Int[Tensor, "b *grid"]
) -> Float[Tensor, "b 1 *grid"]:
    """1 - exp(-l_S / l_T): near one where the teacher knows the label much better, near zero where the student does.

    >>> same = torch.zeros(1, 4)
    >>> soft_label_weight(same, same, torch.tensor([2]))
    tensor([[0.6321]])
    """
    ours, theirs = (
        # A rounding error below zero would make the weight negative.
        (torch.logsumexp(logits, dim=1, keepdim=True) - at_label(logits, label)).clamp(min=0)
        for logits in (student, teacher)
    )
    return -torch.expm1(-ours / (theirs + EPSILON))


@final
class WSLD(PixelLoss):
    """Soft labels weighted by who knows the label better: term `wsld`. Unlabelled images teach nothing here.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        temperature: tau.
        divergence: soft cross-entropy as published, or kl(teacher || student).
        grid: distil on the head's grid, or on logits upsampled to the label's.
    """

    card: ClassVar[Card] = Card(
        title="Soft labels count where the teacher knows the label better than the student.",
        equation="tau^2 / N * sum_valid (1 - exp(-l_S / l_T)) * sum_c -t log s; l the cross-entropy with the label",
        source="Zhou et al., Rethinking soft labels for knowledge distillation, ICLR 2021, section 4",
        implementation="bellymonster/Weighted-Soft-Label-Distillation knowledge_distiller.py @ 67820dd",
        deviations="without the hard cross-entropy, which is a loss of its own; valid pixels only",
        cost="at most five maps of b*k*h*w numbers at once, the gradient included",
        tier="for comparison",
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        temperature: float = 2.0,
        divergence: Literal["cross_entropy", "kl"] = "cross_entropy",
        grid: Grid = "head",
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "wsld")
        expect_same_classes(student, teacher, "wsld")
        expect_positive(temperature, "temperature")
        self.requires = Requires(teacher=True, label=True)
        self.corners = corners_of(student, teacher)
        self.temperature = temperature
        self.divergence: Literal["cross_entropy", "kl"] = divergence
        self.grid: Grid = grid

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The weighted divergence per class and pixel."""
        ours, theirs = paired_logits(
            student, expect_teacher(teacher, "wsld"), batch, corners=self.corners, grid=self.grid
        )
        label, valid = label_on_grid(ours, batch)
        entries = soft_cross_entropy if self.divergence == "cross_entropy" else class_kl
        weight = self.temperature**2 * soft_label_weight(ours, theirs, label)
        values = weight * entries(ours, theirs, temperature=self.temperature)
        return {"wsld": PixelMap(values, valid, valid_count(valid, dtype=values.dtype), "class")}
