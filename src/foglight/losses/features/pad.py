"""Prime-aware adaptive distillation: a variance predicted from the student says where the teacher cannot be followed.

L = mean of (t - s)^2 / (e + exp v) + v,  v = BN(W s + a) clamped to [-bound, bound]

Symbols: s the student's projected feature and t the teacher's (b c *grid), v log-variances, W a 1x1 convolution with
bias a, e = VARIANCE_GUARD. During the warm-up v is 0: the plain squared error.
Source: Zhang et al. 2020, "Prime-aware adaptive distillation", ECCV; no official code is public. Checked against
yoshitomo-matsubara/torchdistill `losses/mid_level.py::PADL2Loss` and `models/wrapper.py::VarianceBranch4PAD` @ 3e4373c.
Changed: maps as well as vectors; a connector where channels differ; the clamp, so that no position's weight leaves
[exp -bound, exp bound]; the two stages are one run whose first tenth is the warm-up. The paper sums where the public
code averages. The gradient reaches the student through v too, unless `detach_variance_input`.
Cost: c*c + 3*c parameters and three maps of the size of t; the connector where channels differ.
"""

from typing import ClassVar, Final, Literal, final

from jaxtyping import Float
from torch import Tensor, nn

from foglight.functional.masking import position_count, taught_positions
from foglight.functional.resize import resize
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.batch_norm import BatchNorm
from foglight.losses.connectors import Pointwise, connector
from foglight.losses.expect import expect_positive, expect_teacher
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

Granularity = Literal["element", "pixel", "sample"]

# Beside the variance, not inside a logarithm: bounds the weight of a squared difference; the published constant.
VARIANCE_GUARD: Final = 1e-6


def variance_weighted_squares(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    log_variance: Float[Tensor, "b #c *#grid"],
) -> Float[Tensor, "b c *grid"]:
    """(t - s)^2 / (e + exp v) + v: twice the negative log-likelihood of a Gaussian, up to a constant.

    Args:
        student: s.
        teacher: t; carries no gradient.
        log_variance: v, per element or broadcast over channels or positions.

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> variance_weighted_squares(3 * one, one, 0 * one)
    tensor([[4.0000]])
    """
    return (teacher.detach() - student).square() / (VARIANCE_GUARD + log_variance.exp()) + log_variance


@final
class PAD(PixelLoss):
    """Squared differences under variances that a head on the student's feature predicts: term `pad`.

    Args:
        student: whose feature is trained.
        teacher: whose feature is followed.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        granularity: one variance per channel and position, per position, or per channel of an image's mean feature
            (which is nearest to the paper's weight of a sample); they agree on vectors but for `pixel`.
        reduction: over images; the mean, or the sum of the images' means.
        bound: of |v|; 0.001 < exp v < 1000 for 7, wider by default.
        warm_up: share of the run with the plain squared error.
        detach_variance_input: the student is not taught through its variance.
        mask_ignored: leave out positions whose label is ignored; unlabelled images stay in.
    """

    card: ClassVar[Card] = Card(
        title="Squared differences under variances that a head on the student's feature predicts.",
        equation="mean of (t - s)^2 / (1e-6 + exp v) + v, v = clamp(BN(W s + a)); v = 0 in the first tenth of the run",
        source="Zhang et al., Prime-aware adaptive distillation, ECCV 2020, the loss of its adaptive stage",
        implementation="yoshitomo-matsubara/torchdistill losses/mid_level.py::PADL2Loss @ 3e4373c (third party)",
        deviations="maps and a connector; v clamped; the warm-up is the first tenth of the same run",
        cost="c*c + 3c parameters and three maps of the size of t; a connector where channels differ",
        may_be_negative=frozenset({"pad"}),
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
        granularity: Granularity = "element",
        reduction: Literal["mean", "sum"] = "mean",
        bound: float = 10.0,
        warm_up: float = 0.1,
        detach_variance_input: bool = False,
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "pad")
        expect_positive(bound, "bound")
        if not 0 <= warm_up < 1:
            raise ValueError(f"expected warm_up in [0, 1), got {warm_up}; a share of the run")
        self.taps = (student_tap or tap, teacher_tap or tap)
        self.requires = Requires(frozenset([self.taps[0]]), frozenset([self.taps[1]]), teacher=True)
        channels = teacher.tap(self.taps[1]).channels
        variances = 1 if granularity == "pixel" else channels
        self.connector = connector(student.tap(self.taps[0]).channels, channels)
        self.variance = nn.Sequential(Pointwise(channels, variances, bias=True), BatchNorm(variances))
        self.granularity: Granularity = granularity
        self.reduction = reduction
        self.bound = bound
        self.warm_up = warm_up
        self.detach_variance_input = detach_variance_input
        self.mask_ignored = mask_ignored

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """Twice the negative log-likelihood per channel and position."""
        ours: Tensor = self.connector(student.features[self.taps[0]])
        theirs = expect_teacher(teacher, "pad").features[self.taps[1]]
        theirs = resize(theirs, ours.shape[2:], align_corners=False)
        log_variance = self._log_variance(ours)
        if batch.progress < self.warm_up:
            # Not left out: under data-parallel training every parameter needs a gradient at every step.
            log_variance = 0.0 * log_variance
        values = variance_weighted_squares(ours, theirs, log_variance)
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        denominator = values.shape[1] * position_count(values, valid)
        if self.reduction == "sum":
            denominator = denominator / len(values)
        return {"pad": PixelMap(values, valid, denominator, "none", channels_are_classes=False)}

    def _log_variance(self, ours: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b v *out"]:
        seen = ours.detach() if self.detach_variance_input else ours
        if self.granularity == "sample" and seen.ndim > 2:
            seen = seen.flatten(2).mean(2)[..., None, None]
        predicted: Tensor = self.variance(seen)
        return predicted.clamp(-self.bound, self.bound)
