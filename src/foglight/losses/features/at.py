"""Attention transfer: the student looks where the teacher looks.

L = 1/(b m) sum |Q_S - Q_T|^2,  Q = q / |q|,  q[i] = mean_c |f[c, i]|^p

Symbols: f features (b c h w), i over the m = h*w positions, q and Q (b m), |.| over the positions of one image.
Source: Zagoruyko & Komodakis 2017, eq. 2; the mean of squares is their public code's, szagoruyko/attention-transfer
@ 893df54, as in mdistiller @ a08d46f and CIRKD `losses/at.py` @ dab64db; torchdistill @ 3e4373c has both forms.
Changed: |f|^p also where p is odd; the larger map is pooled per axis, not to a square; `sum_square`.
Because |Q| = 1, the mean of squares shrinks as 1/m: published weights run from 1000 (m = 1024) to 10000 (m = 8192).
Cost: b*m numbers per network and 32*b*m while they are summed; no parameter.
"""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.channel_mean import channel_mean
from foglight.functional.direction import unit
from foglight.functional.pooling import pool_to_smaller
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_teacher
from foglight.losses.paired_taps import Taps, paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

Form = Literal["mean_square", "sum_square", "norm"]


def attention_map(feature: Float[Tensor, "b c *grid"], *, power: float = 2.0) -> Float[Tensor, "b m"]:
    """Where a feature is strong: its mean p-th power over channels, as one unit vector per image.

    >>> attention_map(torch.tensor([[[[1.0, -1.0]], [[1.0, 1.0]]]]))
    tensor([[0.7071, 0.7071]])
    """
    mean = channel_mean(torch.square if power == 2 else lambda values: values.abs().pow(power), feature)
    return unit(mean.flatten(1))


def attention_distance(
    student: Float[Tensor, "b m"], teacher: Float[Tensor, "b m"], *, form: Form = "mean_square"
) -> Float[Tensor, ""]:
    """How far two attention maps are apart, mean over images.

    >>> attention_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), form="sum_square")
    tensor(2.)
    """
    difference = student - teacher
    if form == "norm":
        # vector_norm has a zero gradient at zero; the root of a sum of squares has none.
        return torch.linalg.vector_norm(difference, dim=1).mean()
    squares = difference.square()
    return squares.mean() if form == "mean_square" else squares.sum(1).mean()


@final
class AT(DistillationLoss):
    """Distance of unit attention maps, summed over taps: term `at`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`.
        tap: of both networks; several are summed.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        power: p, at least 1.
        form: the mean of squares over positions (published code), their sum over positions (its value does not depend
            on the resolution), or the norm (the paper).
    """

    card: ClassVar[Card] = Card(
        title="The student's features are strong where the teacher's are.",
        equation="1/(b m) sum |Q_S - Q_T|^2, Q the unit vector of mean_c |f_c|^p over the m positions of an image",
        source="Zagoruyko & Komodakis, Paying more attention to attention, ICLR 2017, eq. 2",
        implementation="szagoruyko/attention-transfer @ 893df54; winycg/CIRKD losses/at.py @ dab64db; "
        "megvii-research/mdistiller mdistiller/distillers/AT.py @ a08d46f; torchdistill mid_level.py::ATLoss @ 3e4373c",
        deviations="|f|^p for odd p; the larger map is pooled per axis; the paper's norm behind form='norm'; "
        "form='sum_square' does not shrink with the resolution",
        cost="2 b m numbers per tap, 32 b m while they are summed",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: Taps = "head",
        student_tap: Taps | None = None,
        teacher_tap: Taps | None = None,
        power: float = 2.0,
        form: Form = "mean_square",
    ) -> None:
        super().__init__()
        expect_teacher(teacher, "at")
        if power < 1:
            raise ValueError(f"expected power >= 1, got {power}; below, the slope at zero is infinite")
        self.pairs = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps(self.pairs)
        self.power = power
        self.form: Form = form

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The distance, summed over taps."""
        teacher = expect_teacher(teacher, "at")
        distances: list[Tensor] = []
        for pair in self.pairs:
            ours, theirs = pool_to_smaller(student.features[pair.student], teacher.features[pair.teacher].detach())
            maps = attention_map(ours, power=self.power), attention_map(theirs, power=self.power)
            distances.append(attention_distance(*maps, form=self.form))
        return {"at": torch.stack(distances).sum()}
