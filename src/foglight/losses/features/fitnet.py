"""FitNet: a small regressor predicts the teacher's feature from the student's.

L = 1/(b d m) sum (r(f_S) - f_T)^2

Symbols: f_S (b c h w), f_T (b d h w), r the regressor, m = h*w positions.
Source: Romero et al. 2015, eq. 3, without its factor 1/2 and its separate hint stage, which no public code has; CIRKD
`losses/fitnet.py` @ dab64db (1x1, no bias, the default); RepDistiller `models/util.py::ConvReg` @ b84f547 (bias,
BatchNorm, ReLU; a strided or transposed convolution between grids).
Changed: the teacher is resized to the regressor's grid; `mask_ignored`. BatchNorm and ReLU are off by default: a
teacher's feature with negative entries cannot be reached through a ReLU.
Cost: c*d parameters; two maps of d channels on the student's grid.
"""

from typing import ClassVar, Literal, final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.functional.channel_mean import channel_mean
from foglight.functional.masking import position_count, taught_positions
from foglight.functional.pooling import as_map
from foglight.functional.resize import resize
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.batch_norm import BatchNorm
from foglight.losses.expect import expect_teacher
from foglight.losses.paired_taps import paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

Resample = Literal["none", "halve", "double"]


@final
class Regressor(nn.Module):
    """A convolution from the student's channels to the teacher's, then BatchNorm and ReLU where they are wanted.

    Args:
        channels: of the student's feature.
        projected: of the teacher's.
        kernel_size: of the convolution, which is not padded; a kernel of h - h' + 1 rows leaves h' of h rows.
        resample: 3x3 with stride 2, or 4x4 transposed with stride 2, in place of `kernel_size`.
        bias: a constant per channel.
        batch_norm: after the convolution.
        relu: at the end.
    """

    def __init__(
        self,
        channels: int,
        projected: int,
        *,
        kernel_size: tuple[int, int] = (1, 1),
        resample: Resample = "none",
        bias: bool = False,
        batch_norm: bool = False,
        relu: bool = False,
    ) -> None:
        super().__init__()
        if resample == "halve":
            self.convolution: nn.Module = nn.Conv2d(channels, projected, 3, stride=2, padding=1, bias=bias)
        elif resample == "double":
            self.convolution = nn.ConvTranspose2d(channels, projected, 4, stride=2, padding=1, bias=bias)
        else:
            self.convolution = nn.Conv2d(channels, projected, kernel_size, bias=bias)
        self.batch_norm = BatchNorm(projected) if batch_norm else nn.Identity()
        self.activation = nn.ReLU() if relu else nn.Identity()

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d out_h out_w"]:
        """What the teacher's feature should be."""
        return self.activation(self.batch_norm(self.convolution(feature)))


def _squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    return F.mse_loss(student, teacher, reduction="none")


@final
class FitNet(PixelLoss):
    """Mean squared error between the regressed and the teacher's feature: term `fitnet`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`.
        tap: the hint, of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        kernel_size: of the regressor, not padded.
        resample: RepDistiller's regressors between grids that differ by a factor of two.
        bias: of the regressor's convolution.
        batch_norm: after it.
        relu: at its end.
        mask_ignored: leave out positions whose label is ignored; unlabelled images stay in.
    """

    card: ClassVar[Card] = Card(
        title="A 1x1 convolution predicts the teacher's feature from the student's.",
        equation="1/(b d m) sum (r(f_S) - f_T)^2, r the regressor, d channels, m positions",
        source="Romero et al., FitNets: hints for thin deep nets, ICLR 2015, eq. 3",
        implementation="winycg/CIRKD losses/fitnet.py @ dab64db; HobbitLong/RepDistiller distiller_zoo/FitNet.py and "
        "models/util.py::ConvReg @ b84f547",
        deviations="one stage; no factor 1/2; RepDistiller's BatchNorm and ReLU are options; mask_ignored",
        cost="c d parameters (kernel area times that); two maps of b d h w numbers",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        kernel_size: tuple[int, int] = (1, 1),
        resample: Resample = "none",
        bias: bool = False,
        batch_norm: bool = False,
        relu: bool = False,
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "fitnet")
        if min(kernel_size) < 1:
            raise ValueError(f"expected a kernel_size of at least (1, 1), got {kernel_size}")
        (self.pair,) = pairs = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps(pairs)
        self.regressor = Regressor(
            student.tap(self.pair.student).channels,
            teacher.tap(self.pair.teacher).channels,
            kernel_size=kernel_size,
            resample=resample,
            bias=bias,
            batch_norm=batch_norm,
            relu=relu,
        )
        self.mask_ignored = mask_ignored

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The squared error, mean over channels, at every position of the regressor's grid."""
        target = expect_teacher(teacher, "fitnet").features[self.pair.teacher].detach()
        feature = student.features[self.pair.student]
        ours: Tensor = self.regressor(as_map(feature))
        theirs = resize(as_map(target), ours.shape[2:], align_corners=False)
        values = channel_mean(_squared_error, ours, theirs)
        if feature.ndim == 2:
            values = values.flatten(1)
        valid = taught_positions(values, batch, mask_ignored=self.mask_ignored)
        denominator = position_count(values, valid)
        return {"fitnet": PixelMap(values, valid, denominator, "none", channels_are_classes=False)}
