"""Channel-wise distillation: in every channel, the student's distribution over space follows the teacher's.

L = tau^2 / (b c) * sum_c sum_i t[c, i] * (log t[c, i] - log s[c, i]),  s = softmax_i(x_S[c] / tau), t likewise

Symbols: x logits or features (b c h w), kl(teacher || student), i over the h*w positions of one channel.
Source: Shu et al. 2021, "Channel-wise knowledge distillation for dense prediction", eq. 3-5; CIRKD `losses/cwd.py`
@ dab64db; TorchDistiller `SemSeg-distill/utils/criterion.py::CriterionCWD` @ 78bac7c for the variants.
Variants behind options: a softmax over channels at every position (`norm: spatial`, its published name), channel means
compared by squared error, no normalisation; `normaliser: student` divides by the channels before projection (CIRKD).
Changed: log-softmax, published code gives infinities at a logit gap of about 150; `mask_ignored`.
Cost: a map of the size of x (three with `divergence: mse`); a 1x1 connector without bias where channels differ.
"""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.kl import class_kl, log_softmax_over_space, space_kl
from foglight.functional.masking import position_count, taught_positions
from foglight.functional.resize import resize
from foglight.functional.weighted_kl import class_kl_sum, space_kl_sum
from foglight.losses.base import Card, Distribution, PixelLoss, PixelMap, PixelWeight
from foglight.losses.connectors import connector
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

Norm = Literal["channel", "spatial", "channel_mean", "none"]
Divergence = Literal["kl", "mse"]


def normalise(
    values: Float[Tensor, "b c *grid"], *, norm: Norm, temperature: float, valid: Bool[Tensor, "b *grid"] | None
) -> Float[Tensor, "b c *out"]:
    """What the squared error compares; the grid is gone where whole channels are averaged."""
    if norm == "channel":
        return log_softmax_over_space(values, temperature=temperature, valid=valid).exp()
    if norm == "spatial":
        return torch.softmax(values / temperature, dim=1)
    if norm == "channel_mean":
        flat = (values / temperature).reshape(*values.shape[:2], -1)
        if valid is None:
            return flat.mean(-1)
        inside = valid.unsqueeze(1).flatten(2)
        return torch.where(inside, flat, 0.0).sum(-1) / inside.sum(-1).clamp(min=1)
    return values / temperature


def chosen_taps(tap: str | None, student_tap: str | None, teacher_tap: str | None) -> tuple[str, str] | None:
    """The student's and the teacher's tap, or None for logits.

    Raises:
        ValueError: if only one network's tap is named.

    >>> chosen_taps("layer4", None, "stages.3")
    ('layer4', 'stages.3')
    """
    student, teacher = student_tap or tap, teacher_tap or tap
    if student is not None and teacher is not None:
        return student, teacher
    if student is None and teacher is None:
        return None
    raise ValueError(f"expected a tap of both networks or of neither, got student {student!r} and teacher {teacher!r}")


@final
class CWD(PixelLoss):
    """Channel-wise kl(teacher || student) over space: term `cwd`.

    Args:
        student: whose logits, or whose feature, are trained.
        teacher: of as many classes, where logits are distilled.
        temperature: tau.
        tap: of both networks; None distils the logits.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        norm: softmax over the positions of a channel; over channels at a position; means of channels; nothing.
        divergence: kl needs a softmax; mse is the squared error.
        normaliser: divide by the channels after the connector, or by the student's own.
        mask_ignored: positions whose label is ignored have probability zero on both sides.
    """

    card: ClassVar[Card] = Card(
        title="In every channel, the student's distribution over space follows the teacher's.",
        equation="tau^2 / (b c) * sum_c sum_i t log(t / s), s and t softmax over the positions of channel c of x / tau",
        source="Shu et al., Channel-wise knowledge distillation for dense prediction, ICCV 2021, eq. 3-5",
        implementation="winycg/CIRKD losses/cwd.py @ dab64db; irfanICMLL/TorchDistiller "
        "SemSeg-distill/utils/criterion.py::CriterionCWD @ 78bac7c; open-mmlab/mmrazor models/losses/cwd.py @ 90c7af1",
        deviations="log-softmax; divides by the projected channels, CIRKD's own behind normaliser='student'",
        cost="a map of the size of x (three with mse); a 1x1 connector where channels differ",
        tier="recommended",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        temperature: float = 4.0,
        tap: str | None = None,
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        norm: Norm = "channel",
        divergence: Divergence = "kl",
        normaliser: Literal["projected", "student"] = "projected",
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "cwd")
        expect_positive(temperature, "temperature")
        if divergence == "kl" and norm not in ("channel", "spatial"):
            raise ValueError(f"expected norm 'channel' or 'spatial' with divergence 'kl', got {norm!r}; use 'mse'")
        self.taps = chosen_taps(tap, student_tap, teacher_tap)
        self.requires = Requires(teacher=True)
        if self.taps is None:
            expect_same_classes(student, teacher, "cwd")
            channels, projected = student.num_classes, teacher.num_classes
        else:
            channels, projected = student.tap(self.taps[0]).channels, teacher.tap(self.taps[1]).channels
            self.requires |= Requires(frozenset([self.taps[0]]), frozenset([self.taps[1]]))
        self.connector = connector(channels, projected)
        self.divisor = channels if normaliser == "student" else projected
        # Logits keep their network's corners; features are aligned without.
        self.align_corners = teacher.align_corners and self.taps is None
        self.temperature = temperature
        self.norm: Norm = norm
        self.divergence: Divergence = divergence
        self.mask_ignored = mask_ignored

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The divergence per channel and position; over space where `norm` is channel."""
        ours, theirs = self._pair(student, expect_teacher(teacher, "cwd"))
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        return {"cwd": self._map(self.temperature**2 * self._entries(ours, theirs, valid), valid)}

    def weighted(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, weight: PixelWeight | None
    ) -> dict[str, Tensor]:
        """The sum of the map, in strips of which only the gradient is kept; the same code with a weight and without."""
        if self.divergence == "mse":
            return super().weighted(student, teacher, batch, weight)
        ours, theirs = self._pair(student, expect_teacher(teacher, "cwd"))
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        # A weight asks for the shape of a map and for what counts in it, not for its entries.
        pixel_map = self._map(ours.detach().new_zeros(()).expand_as(ours), valid)
        total = (space_kl_sum if self.norm == "channel" else class_kl_sum)(
            ours,
            theirs,
            weight=None if weight is None else weight("cwd", pixel_map, student, teacher, batch),
            valid=valid,
            temperature=self.temperature,
        )
        return {"cwd": pixel_map.share(self.temperature**2 * total)}

    def _map(self, values: Float[Tensor, "b c *out"], valid: Bool[Tensor, "b *grid"] | None) -> PixelMap:
        if self.norm in ("channel", "channel_mean"):
            denominator = values.new_tensor(len(values) * self.divisor)
        else:
            denominator = position_count(values, valid)
        if self.norm == "channel_mean" and valid is not None:
            valid = valid.reshape(len(valid), -1).any(1)
        distribution: Distribution = "none"
        if self.divergence == "kl":
            distribution = "space" if self.norm == "channel" else "class"
        return PixelMap(values, valid, denominator, distribution, channels_are_classes=self.taps is None)

    def _pair(
        self, student: ModelOutput, teacher: ModelOutput
    ) -> tuple[Float[Tensor, "b c *grid"], Float[Tensor, "b c *grid"]]:
        if self.taps is None:
            ours, theirs = student.logits, teacher.logits
        else:
            ours, theirs = student.features[self.taps[0]], teacher.features[self.taps[1]]
        return self.connector(ours), resize(theirs, ours.shape[2:], align_corners=self.align_corners)

    def _entries(
        self,
        ours: Float[Tensor, "b c *grid"],
        theirs: Float[Tensor, "b c *grid"],
        valid: Bool[Tensor, "b *grid"] | None,
    ) -> Float[Tensor, "b c *out"]:
        if self.divergence == "mse":
            student, teacher = (
                normalise(values, norm=self.norm, temperature=self.temperature, valid=valid)
                for values in (ours, theirs.detach())
            )
            return (student - teacher).square()
        if self.norm == "channel":
            return space_kl(ours, theirs, temperature=self.temperature, valid=valid)
        return class_kl(ours, theirs, temperature=self.temperature)
