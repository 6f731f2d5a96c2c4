"""Variational information distillation: the student's feature tells as much as it can about the teacher's.

L = 1/2 mean_c [ mean_i (mu(f_S)[c, i] - f_T[c, i])^2 / v[c] + ln v[c] ],  v = softplus(a) + 1e-5

Symbols: f_S (b c h w), f_T (b d h w), mu three 1x1 convolutions, v the learned variance of each teacher channel,
i over images and positions; the constant ln(2 pi)/2 is left out.
Source: Ahn et al. 2019, eq. 4-5; RepDistiller `distiller_zoo/VID.py` @ b84f547.
Changed: softplus (published code's log(1 + exp) overflows); the larger map is pooled per axis. The variances are
parameters of this loss and are trained; mdistiller @ a08d46f leaves them at 5, which is a mean square over ten.
Cost: c*d + 2*d^2 + d parameters per tap; three maps of d channels. The value falls below zero as v does, never below
ln(1e-5)/2 = -5.76. Weight decay on `a` pulls v towards softplus(0) = 0.69.
"""

import math
from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.functional.pooling import as_map, pool_to_smaller
from foglight.losses.base import Card, DistillationLoss, ParameterGroup
from foglight.losses.expect import expect_positive, expect_teacher
from foglight.losses.paired_taps import Taps, paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

# Keeps the likelihood bounded where a channel is predicted exactly.
VARIANCE_FLOOR: Final = 1e-5


def gaussian_likelihood(
    mean: Float[Tensor, "b d *grid"], target: Float[Tensor, "b d *grid"], variance: Float[Tensor, " d"]
) -> Float[Tensor, ""]:
    """Mean negative log-likelihood of the target, without its constant.

    >>> gaussian_likelihood(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 3.0]]]), torch.ones(1))
    tensor(2.5000)
    """
    # Squares are averaged per channel before the division, so that nothing of the map's size is divided.
    squares = (mean - target).square().flatten(2).mean((0, 2))
    return 0.5 * (squares / variance + variance.log()).mean()


@final
class VariationalHead(nn.Module):
    """Mean and variance of the teacher's feature given the student's.

    Args:
        channels: c, of the student.
        projected: d, of the teacher.
        hidden: channels between the convolutions.
        initial_variance: v before training.
    """

    def __init__(self, channels: int, projected: int, *, hidden: int, initial_variance: float) -> None:
        super().__init__()
        self.regressor = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, projected, 1, bias=False),
        )
        start = math.log(math.expm1(initial_variance - VARIANCE_FLOOR))
        self.pre_variance = nn.Parameter(torch.full((projected,), start))

    @property
    def variance(self) -> Float[Tensor, " d"]:
        """v, positive."""
        return F.softplus(self.pre_variance) + VARIANCE_FLOOR

    def forward(self, student: Float[Tensor, "b c *grid"], teacher: Float[Tensor, "b d *grid"]) -> Float[Tensor, ""]:
        """Mean negative log-likelihood of the teacher's feature."""
        return gaussian_likelihood(self.regressor(as_map(student)), as_map(teacher), self.variance)


@final
class VID(DistillationLoss):
    """Gaussian negative log-likelihood with learned variances, summed over taps: term `vid`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`.
        tap: of both networks; several are summed.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        hidden_channels: of the regressor; None takes the teacher's.
        initial_variance: v before training.
    """

    card: ClassVar[Card] = Card(
        title="The student's feature predicts the teacher's, with a learned variance per channel.",
        equation="1/2 mean [ (mu(f_S) - f_T)^2 / v + ln v ], v = softplus(a) + 1e-5 per teacher channel",
        source="Ahn et al., Variational information distillation for knowledge transfer, CVPR 2019, eq. 4-5",
        implementation="HobbitLong/RepDistiller distiller_zoo/VID.py @ b84f547",
        deviations="softplus; the variances are in an optimiser group (mdistiller @ a08d46f never trains them)",
        cost="c d + 2 d^2 + d parameters per tap; three maps of b d h w numbers",
        may_be_negative=frozenset({"vid"}),
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
        hidden_channels: int | None = None,
        initial_variance: float = 5.0,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "vid")
        expect_positive(initial_variance - VARIANCE_FLOOR, f"initial_variance - {VARIANCE_FLOOR}")
        self.pairs = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps(self.pairs)
        self.heads = nn.ModuleList()
        for pair in self.pairs:
            channels, projected = student.tap(pair.student).channels, teacher.tap(pair.teacher).channels
            hidden = hidden_channels or projected
            self.heads.append(VariationalHead(channels, projected, hidden=hidden, initial_variance=initial_variance))

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The negative log-likelihood, summed over taps."""
        teacher = expect_teacher(teacher, "vid")
        values: list[Tensor] = []
        for pair, head in zip(self.pairs, self.heads, strict=True):
            features = pool_to_smaller(student.features[pair.student], teacher.features[pair.teacher].detach())
            values.append(head(*features))
        return {"vid": torch.stack(values).sum()}

    def optimiser_groups(self) -> list[ParameterGroup]:
        """The variances are not decayed: that would pull every one of them towards softplus(0)."""
        parameters = dict(self.named_parameters())
        variances = tuple(parameter for name, parameter in parameters.items() if name.endswith("pre_variance"))
        regressors = tuple(parameter for name, parameter in parameters.items() if not name.endswith("pre_variance"))
        return [ParameterGroup(regressors), ParameterGroup(variances, weight_decay=0.0)]
