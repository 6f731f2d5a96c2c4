"""LIX's feature distillation: recalibrated channels resemble each other as the teacher's do.

L = sum_taps mean_b [ 1 - CKA(K_S K_S', K_T K_T') ],  K = kernel(relu(norm(conv(f))))

Symbols: f (b c h w) the tapped features on the smaller of both grids, K (d m) of one image: d the teacher's channels,
which are CKA's examples, m = h*w positions; ' the transpose; `kernel` as in `functional/recalibration.py`.
Source: LIX, arXiv 2403.08215v2, eq. 12-17; no public code is used.
Changed: the teacher's side is BatchNorm without parameters, then ReLU. The printed trainable convolution on both sides
lets most of the loss vanish with nothing transferred (0.18 to 0.013 on features drawn independently of each other); it
stands behind `teacher_align: conv`. Eq. 15's last coefficient, 2/d^2, is a misprint for 2/d: as printed the kernels
are hardly centred and CKA exceeds 0.999 for independent features; `hsic: printed` keeps it. Grids are matched by
bilinear resizing. The other measures of Table V are taken between the recalibrated features of an image.
Cost: 9*c*d parameters per tap (`kernel_size: 1` a ninth), twice with `conv`; about six maps of d channels and
b * min(2 d^2, 3 m^2) numbers.
"""

from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.functional.direction import unit
from foglight.functional.kernels import DEPENDENCE_FLOOR, FEWEST_UNBIASED, linear_cka
from foglight.functional.pooling import as_map
from foglight.functional.recalibration import Kernel, recalibrate
from foglight.functional.resize import resize
from foglight.losses.base import Card, DistillationLoss, Statistics
from foglight.losses.batch_norm import BatchNorm
from foglight.losses.expect import expect_teacher
from foglight.losses.paired_taps import Taps, paired_taps
from foglight.losses.tap_pairs import TapPair, required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

Consistency = Literal["cka", "cosine", "euclidean", "pearson"]
Hsic = Literal["biased", "unbiased", "printed"]

STAGES: Final = ("layer1", "layer2", "layer3", "layer4")
NORM_EPSILON: Final = 1e-5
COLLAPSE: Final = (
    "arfd: teacher_align 'conv' trains a convolution on the teacher's side, so most of the loss can vanish with "
    "nothing transferred; 'norm' has no parameters there"
)


def printed_cka(student: Float[Tensor, "b c m"], teacher: Float[Tensor, "b c m"]) -> Float[Tensor, " b"]:
    """CKA with eq. 15 as printed, in float64: its three terms cancel."""
    ours, theirs = (unit(values.double().flatten(1)).view_as(values) for values in (student, teacher))
    kernels = ours @ ours.mT, theirs @ theirs.mT

    def printed_hsic(first: Tensor, second: Tensor) -> Tensor:
        rows = first.sum(-1), second.sum(-1)
        cross = (rows[0] * rows[1]).sum(-1)
        totals = rows[0].sum(-1) * rows[1].sum(-1)
        return (first * second).sum((-2, -1)) + (totals - 2 * cross) / first.shape[-1] ** 2

    shared, own, given = (printed_hsic(kernels[i], kernels[j]) for i, j in ((0, 1), (0, 0), (1, 1)))
    return (shared / (own * given).clamp_min(DEPENDENCE_FLOOR**2).sqrt()).to(student.dtype)


def inconsistency(
    student: Float[Tensor, "b c m"],
    teacher: Float[Tensor, "b c m"],
    *,
    consistency: Consistency = "cka",
    hsic: Hsic = "biased",
    fold_batch: bool = False,
) -> Float[Tensor, ""]:
    """How far two recalibrated features are from consistent, mean over images.

    Args:
        student: recalibrated.
        teacher: recalibrated, with as many channels and positions.
        consistency: 1 - CKA with channels as examples, 1 - cosine, 1 - correlation, or the mean squared difference.
        hsic: the estimator inside CKA.
        fold_batch: one feature with the images side by side.

    >>> feature = torch.tensor([[[1.0, 2.0], [3.0, 5.0]]])
    >>> inconsistency(feature, 2 * feature, consistency="euclidean")
    tensor(9.7500)
    >>> round(inconsistency(feature, 2 * feature).item(), 5)
    0.0
    """
    if fold_batch:
        student, teacher = (values.transpose(0, 1).flatten(1).unsqueeze(0) for values in (student, teacher))
    if consistency == "euclidean":
        return (student - teacher).square().mean()
    if consistency == "cka":
        if hsic == "printed":
            return (1 - printed_cka(student, teacher)).mean()
        return (1 - linear_cka(student, teacher, unbiased=hsic == "unbiased")).mean()
    ours, theirs = student.flatten(1), teacher.flatten(1)
    if consistency == "pearson":
        ours, theirs = ours - ours.mean(1, keepdim=True), theirs - theirs.mean(1, keepdim=True)
    return (1 - (unit(ours) * unit(theirs)).sum(1)).mean()


def standardised(feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Every channel with mean 0 and variance 1 over the batch: BatchNorm without parameters and without memory."""
    variance, mean = torch.var_mean(feature, (0, 2, 3), correction=0, keepdim=True)
    return (feature - mean) * (variance + NORM_EPSILON).rsqrt()


@final
class Alignment(nn.Module):
    """Convolution, BatchNorm, ReLU: eq. 12.

    Args:
        channels: of the feature.
        projected: of the teacher's feature.
        kernel_size: 3 or 1.
    """

    def __init__(self, channels: int, projected: int, *, kernel_size: int) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.convolution = nn.Conv2d(channels, projected, kernel_size, padding=padding, bias=False)
        self.batch_norm = BatchNorm(projected)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The aligned feature."""
        return self.batch_norm(self.convolution(feature)).relu()


@final
class ARFD(DistillationLoss):
    """1 - CKA of aligned and recalibrated features, summed over taps: term `arfd`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`.
        tap: of both networks; several are summed.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        kernel: the recalibration.
        consistency: the measure.
        hsic: inside CKA: biased, unbiased, or with eq. 15's coefficient as printed.
        teacher_align: parameter-free, or the printed trainable convolution, which can collapse.
        kernel_size: of the convolutions; 1 for very wide taps.
        fold_batch: one Gram matrix with the images side by side.
    """

    card: ClassVar[Card] = Card(
        title="The student's recalibrated channels resemble each other as the teacher's do.",
        equation="sum_taps mean_b [1 - CKA(K_S K_S', K_T K_T')], K = exp(-(a - mean a)^2 / std((a - mean a)^2)), "
        "a = relu(norm(conv(f))), channels are the examples",
        source="Guo et al., LIX: implicitly infusing spatial geometric prior knowledge, arXiv 2403.08215v2, eq. 12-17",
        deviations="no trainable convolution on the teacher's side; 2/d for the printed 2/d^2 in eq. 15; bilinear "
        "resizing; both printed forms behind options",
        cost="9 c d parameters per tap; about 6 b d h w + b min(2 d^2, 3 (h w)^2) numbers",
        tier="recommended",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: Taps = STAGES,
        student_tap: Taps | None = None,
        teacher_tap: Taps | None = None,
        kernel: Kernel = "paper",
        consistency: Consistency = "cka",
        hsic: Hsic = "biased",
        teacher_align: Literal["norm", "conv"] = "norm",
        kernel_size: Literal[1, 3] = 3,
        fold_batch: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "arfd")
        self.pairs = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps(self.pairs)
        self.student_align = nn.ModuleList()
        self.teacher_align = nn.ModuleList()
        for pair in self.pairs:
            channels, projected = student.tap(pair.student).channels, teacher.tap(pair.teacher).channels
            if hsic == "unbiased" and projected < FEWEST_UNBIASED:
                raise ValueError(f"expected at least {FEWEST_UNBIASED} channels at {pair.teacher!r}, got {projected}")
            self.student_align.append(Alignment(channels, projected, kernel_size=kernel_size))
            if teacher_align == "conv":
                self.teacher_align.append(Alignment(projected, projected, kernel_size=kernel_size))
        self.kernel: Kernel = kernel
        self.consistency: Consistency = consistency
        self.hsic: Hsic = hsic
        self.fold_batch = fold_batch
        self._last: list[Tensor] = []
        self._unsaid = [COLLAPSE] if teacher_align == "conv" else []

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The inconsistency, summed over taps."""
        teacher = expect_teacher(teacher, "arfd")
        values: list[Tensor] = []
        for pair in self.pairs:
            ours, theirs = self._recalibrated(pair, student, teacher)
            values.append(
                inconsistency(ours, theirs, consistency=self.consistency, hsic=self.hsic, fold_batch=self.fold_batch)
            )
        self._last = [value.detach() for value in values]
        return {"arfd": torch.stack(values).sum()}

    def statistics(self) -> Statistics:
        """The inconsistency at every tap, and the warning about a trainable teacher side once."""
        notes, self._unsaid = tuple(self._unsaid), []
        last = zip(self.pairs, self._last, strict=False)
        return Statistics({f"arfd.{pair.student}-{pair.teacher}": value.item() for pair, value in last}, notes)

    def _recalibrated(
        self, pair: TapPair, student: ModelOutput, teacher: ModelOutput
    ) -> tuple[Float[Tensor, "b d m"], Float[Tensor, "b d m"]]:
        ours, theirs = as_map(student.features[pair.student]), as_map(teacher.features[pair.teacher].detach())
        size = [min(sides) for sides in zip(ours.shape[2:], theirs.shape[2:], strict=True)]
        ours, theirs = (resize(each, size, align_corners=False) for each in (ours, theirs))
        ours = self.student_align[pair.stage](ours)
        theirs = self.teacher_align[pair.stage](theirs) if self.teacher_align else standardised(theirs).relu()
        return recalibrate(ours.flatten(2), kernel=self.kernel), recalibrate(theirs.flatten(2), kernel=self.kernel)
