"""Overhaul of feature distillation: a partial L2 on features before ReLU, with margins where the teacher is silent.

L = scale/b * sum over taps j of 1/d_j * sum [s > tau or tau > 0] * (s - tau)^2
tau = max(f_T, m),  s = BN(conv1x1(f_S))

Symbols: f features before ReLU (b c h w), the sum over all of their entries; d_j the divisor of a tap; m (c) the margin
of a channel, see `foglight.losses.margin`. Where both are silent (tau <= 0 and s <= tau) the student is free.
Source: Heo et al. 2019 (overhaul), section 3; clovaai/overhaul-distillation `Segmentation/distiller.py` @ 76344a8.
Changed: `margin: empirical` for taps whose last BatchNorm does not say what reaches the ReLU (a residual is added after
it), averaged over what training has shown so far in this process; the teacher is in eval mode.
Cost: per tap c_S*c_T + 2*c_T parameters and two maps of the teacher's channels.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.functional.masking import taught_positions
from foglight.functional.resize import resize
from foglight.losses.base import Card, DistillationLoss, ParameterGroup
from foglight.losses.expect import expect_positive, expect_teacher
from foglight.losses.margin import BatchNormMargin, EmpiricalMargin
from foglight.losses.normalised_connector import NormalisedConnector
from foglight.losses.tap_pairs import TapPair, known_pairs, named_pairs, required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

# The six published taps with their divisors: more weight for the later ones.
STAGES: Final = (
    ("layer1_pre_relu", "layer1"),
    ("layer2_pre_relu", "layer2"),
    ("layer3_pre_relu", "layer3"),
    ("layer4_pre_relu", "layer4"),
    ("encoder_pre_relu", "aspp"),
    ("decoder_pre_relu", "head_clean"),
)
DIVISORS: Final = (8.0, 4.0, 2.0, 1.0, 1.0, 16.0)


def partial_l2(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    margin: Float[Tensor, " c"],
    *,
    valid: Bool[Tensor, "b *grid"] | None = None,
) -> Float[Tensor, ""]:
    """Sum of squared differences to the margin-clamped teacher, but for entries where both are silent.

    Args:
        student: connected.
        teacher: before ReLU, on the same grid; carries no gradient.
        margin: negative, per channel.
        valid: positions that count; all by default.

    >>> entries = torch.tensor([[-3.0, 1.0, -3.0]])
    >>> partial_l2(entries, torch.tensor([[-5.0, -5.0, 2.0]]), torch.tensor([-1.0, -1.0, -1.0])).item()
    29.0
    """
    target = torch.maximum(teacher.detach(), margin.view(-1, *(1 for _ in teacher.shape[2:])))
    counted = (student > target) | (target > 0)
    if valid is not None:
        counted = counted & valid.unsqueeze(1)
    # Where nothing counts the student is its own target: one fused squared error, and no mask in the backward pass.
    return F.mse_loss(student, torch.where(counted, target, student.detach()), reduction="sum")


@final
class OFD(DistillationLoss):
    """Partial L2 on features before ReLU: term `ofd`.

    Args:
        student: whose features are trained.
        teacher: whose features and closing BatchNorms are read.
        taps: of both networks; by default four stages, encoder and decoder, as far as both networks know them.
        student_taps: where the names differ.
        teacher_taps: where the names differ.
        divisors: one per tap; by default the published ones, or for taps of your own 2^(n-1), ..., 2, 1.
        scale: what the sum is multiplied with, so that its size is that of a loss; 1e-3 on CIFAR, 1e-4 on ImageNet.
        margin: from the closing BatchNorm, or from the responses seen in training.
        learning_rate_multiple: of the connectors.
        mask_ignored: leave out positions whose label is ignored; the connector's BatchNorm still sees them.
    """

    card: ClassVar[Card] = Card(
        title="Before its ReLUs the student follows the teacher, and is free where both stay silent.",
        equation="scale/b sum_j 1/d_j sum [s > tau or tau > 0] (s - tau)^2, tau = max(f_T, m), s = BN(conv1x1(f_S))",
        source="Heo et al., A comprehensive overhaul of feature distillation, ICCV 2019, section 3",
        implementation="clovaai/overhaul-distillation Segmentation/distiller.py @ 76344a8",
        deviations="gamma of at least 1e-6; the margin of a residual tap may be measured; by default a network without "
        "a tap before ReLU gives the one after it (MobileNetV2: the stage's end, published code its next expansion)",
        cost="per tap a c_S*c_T connector with BatchNorm and two maps of b*c_T*h*w",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        taps: tuple[str, ...] | None = None,
        student_taps: tuple[str, ...] | None = None,
        teacher_taps: tuple[str, ...] | None = None,
        divisors: tuple[float, ...] | None = None,
        scale: float = 1e-5,
        margin: Literal["batch_norm", "empirical"] = "batch_norm",
        learning_rate_multiple: float = 10.0,
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "ofd")
        expect_positive(scale, "scale")
        named = named_pairs(taps, student_taps, teacher_taps)
        self.pairs = named or known_pairs(STAGES, student, teacher)
        self.divisors = _divisors(divisors, self.pairs, published=named is None)
        self.requires = required_taps(self.pairs)
        self.connectors = nn.ModuleList(
            NormalisedConnector(student.tap(pair.student).channels, teacher.tap(pair.teacher).channels)
            for pair in self.pairs
        )
        self.margins = nn.ModuleList(_margin(teacher, pair.teacher, margin == "empirical") for pair in self.pairs)
        self.scale = scale
        self.learning_rate_multiple = learning_rate_multiple
        self.mask_ignored = mask_ignored

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The sum over the taps, divided by the number of images."""
        teacher = expect_teacher(teacher, "ofd")
        terms: list[Tensor] = []
        for pair, divisor, connector, margin in zip(
            self.pairs, self.divisors, self.connectors, self.margins, strict=True
        ):
            ours: Tensor = connector(student.features[pair.student])
            theirs = teacher.features[pair.teacher]
            limit: Tensor = margin(theirs)
            valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
            theirs = resize(theirs, ours.shape[2:], align_corners=False)
            terms.append(partial_l2(ours, theirs, limit, valid=valid) / divisor)
        return {"ofd": self.scale / len(student.logits) * torch.stack(terms).sum()}

    def optimiser_groups(self) -> list[ParameterGroup]:
        """The connectors."""
        return [ParameterGroup(tuple(self.parameters()), learning_rate_multiple=self.learning_rate_multiple)]


def _divisors(given: Sequence[float] | None, pairs: Sequence[TapPair], *, published: bool) -> tuple[float, ...]:
    if given is not None and (len(given) != len(pairs) or min(given) <= 0):
        raise ValueError(f"expected a positive divisor for each of {len(pairs)} taps, got {tuple(given)}")
    if given is not None:
        return tuple(given)
    if published:
        return tuple(DIVISORS[pair.stage] for pair in pairs)
    return tuple(2.0 ** (len(pairs) - 1 - pair.stage) for pair in pairs)


def _margin(teacher: ModelInfo, tap: str, empirical: bool) -> BatchNormMargin | EmpiricalMargin:
    info = teacher.tap(tap)
    if empirical:
        return EmpiricalMargin(info.channels)
    if info.closing_batch_norm is None:
        raise ValueError(
            f"expected a BatchNorm that closes the teacher's tap {tap!r}, got none; take another, or margin: empirical"
        )
    return BatchNormMargin(*info.closing_batch_norm)
