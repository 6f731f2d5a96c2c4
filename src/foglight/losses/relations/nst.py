"""Neuron selectivity transfer: the student's channels, as a set of patterns over space, follow the teacher's.

L = mean_b | U_S' U_S / c - U_T' U_T / d |^2 = mean_b MMD^2 of the rows of U_S and U_T under the kernel (x.y)^2

Symbols: U_S (c m), U_T (d m): the maps of all channels of one image over m = h*w positions, each of unit norm; ' the
transpose; |.| Frobenius norm.
Source: Huang & Wang 2017, eq. 7 with the polynomial kernel; mdistiller `distillers/NST.py` @ a08d46f and RepDistiller
@ b84f547.
Changed: inner products of all channels are one matrix product, where published code broadcasts b*c*c*m numbers (17 GB
at 512 channels of 64x128); whichever is fewer of c*c and m*m numbers is held. The larger map is pooled per axis.
Cost: two unit copies of the features and b * min((c + d)^2, m^2) numbers; no parameter.
"""

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.direction import unit
from foglight.functional.kernels import quadratic_mmd
from foglight.functional.pooling import pool_to_smaller
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_teacher
from foglight.losses.paired_taps import Taps, paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput


def selectivity_distance(student: Float[Tensor, "b c *grid"], teacher: Float[Tensor, "b d *grid"]) -> Float[Tensor, ""]:
    """Squared MMD between the unit channel maps of each image, mean over images.

    >>> feature = torch.eye(2).reshape(1, 2, 1, 2)
    >>> selectivity_distance(feature, 3 * feature)
    tensor(0.)
    """
    rows = (unit(feature.reshape(*feature.shape[:2], -1), dim=-1) for feature in (student, teacher))
    return quadratic_mmd(*rows).mean()


@final
class NST(DistillationLoss):
    """Squared maximum mean discrepancy of unit channel maps, summed over taps: term `nst`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`; its number of channels may differ.
        tap: of both networks; several are summed.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
    """

    card: ClassVar[Card] = Card(
        title="The student's channels, as patterns over space, are distributed like the teacher's.",
        equation="mean_b [ mean (u_S.u_S)^2 + mean (u_T.u_T)^2 - 2 mean (u_S.u_T)^2 ], u unit channel maps",
        source="Huang & Wang, Like what you like: knowledge distill via neuron selectivity transfer, 2017, eq. 7",
        implementation="megvii-research/mdistiller mdistiller/distillers/NST.py @ a08d46f; HobbitLong/RepDistiller "
        "distiller_zoo/NST.py @ b84f547",
        deviations="Gram matrices instead of broadcast products, exact; the larger map is pooled per axis",
        cost="b m (c + d) + b min((c + d)^2, m^2) numbers per tap",
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
    ) -> None:
        super().__init__()
        expect_teacher(teacher, "nst")
        self.pairs = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps(self.pairs)

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The discrepancy, summed over taps."""
        teacher = expect_teacher(teacher, "nst")
        values: list[Tensor] = []
        for pair in self.pairs:
            features = pool_to_smaller(student.features[pair.student], teacher.features[pair.teacher].detach())
            values.append(selectivity_distance(*features))
        return {"nst": torch.stack(values).sum()}
