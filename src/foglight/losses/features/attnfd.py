"""Attention-guided feature distillation: the student's refined features point the same way as the teacher's.

L = sum over taps j of mean over images of | S_j / |S_j| - T_j / |T_j| |^2,  S = BN(W A''_S),  T = A''_T

Symbols: A'' = CBAM(A) the refined feature (b c h w) of either network, see `foglight.losses.attention`; W the student's
1x1 connector, after its CBAM; |.| over c, h and w of one image. A tap adds between 0 and 4, and 2 at right angles.
Source: Mansourian et al. 2024 (AttnFD), eq. 1-5; AmirMansurian/AttnFD `distiller.py`, `cbam.py` @ f090bbe.
Published forms behind options: one norm over the whole batch and a further 1/b (`scope: batch`, `divide_by_batch`), the
unsquared norm of eq. 5, norms per channel or per position (two readings of "along its channels"), features before ReLU
at every tap, the teacher's attention on batch statistics, the student's channel attention never trained.
Changed: norm per image, so that the weight does not depend on the batch's size; zero maps count as zero, not NaN. The
paper says that the teacher's attention is trained and then frozen, published code has no path that trains it: here it
stands in the frozen teacher's path at the taps, its gates open, and is trained by the teacher's own cross-entropy, then
frozen; see `foglight.losses.teacher_attention`.
Cost: per tap two CBAMs, a 1x1 connector and five maps of the teacher's channels; `adapt_steps` of the teacher before.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import ConfigurationError
from foglight.functional.binary import at_least_two_classes
from foglight.functional.cross_entropy import cross_entropy_at_label_grid, label_mass
from foglight.functional.direction import direction_distance
from foglight.functional.masking import taught_positions
from foglight.functional.resize import resize
from foglight.losses.attention import CBAM
from foglight.losses.base import Card, ParameterGroup, TeacherAdapted
from foglight.losses.expect import expect_teacher
from foglight.losses.normalised_connector import NormalisedConnector
from foglight.losses.refinement import Refinement
from foglight.losses.tap_pairs import TapPair, known_pairs, named_pairs, required_taps
from foglight.losses.teacher_attention import TeacherAttention, teacher_attention
from foglight.types import Batch, ModelInfo, ModelOutput

Scope = Literal["sample", "batch", "channel", "pixel"]

# Axes of a map over which one norm is taken.
_AXES: Final[Mapping[Scope, tuple[int, ...]]] = {
    "sample": (1, 2, 3),
    "batch": (0, 1, 2, 3),
    "channel": (2, 3),
    "pixel": (1,),
}
# Backbone, encoder and decoder, under the names that networks give them.
STAGES: Final = (("backbone", "layer4"), ("encoder", "aspp", "ppm", "merge"), ("decoder", "head_clean", "head"))
PRE_RELU_STAGES: Final = (("backbone", "layer4_pre_relu"), ("encoder_pre_relu",), ("decoder_pre_relu",))


def refined_distance(
    student: Float[Tensor, "b c h w"],
    teacher: Float[Tensor, "b c h w"],
    *,
    scope: Scope = "sample",
    squared: bool = True,
) -> Float[Tensor, ""]:
    """Mean distance between the directions of two maps.

    Args:
        student: refined and connected.
        teacher: refined, on the same grid; carries no gradient.
        scope: one direction per image, per batch, per channel of an image, or per position.
        squared: the square of the Euclidean distance, or the distance itself.

    >>> refined_distance(torch.ones(2, 4, 2, 2), -5 * torch.ones(2, 4, 2, 2)).item()
    4.0
    """
    distance = direction_distance(student, teacher, _AXES[scope])
    if not squared:
        # The inner where() keeps the root away from zero, whose derivative is infinite.
        distance = torch.where(distance > 0, torch.where(distance > 0, distance, 1.0).sqrt(), 0.0)
    return distance.mean()


@final
class AttnFD(TeacherAdapted):
    """Distance between directions of attention-refined features: term `attnfd`.

    Args:
        student: whose features are trained.
        teacher: whose attention is adapted first.
        taps: of both networks; by default backbone, encoder and decoder, as far as both networks know them.
        student_taps: where the names differ.
        teacher_taps: where the names differ.
        pre_relu: by default take the encoder and decoder before their ReLU too, as the paper's text says.
        scope: over what one norm is taken: an image, the batch, a channel of an image, or the channels of a position.
        squared: squared distance (published code), or the distance itself (eq. 5).
        divide_by_batch: divide by the number of images once more (published code).
        attention_of_teacher: adapted by cross-entropy and frozen, left at its initial values, or without parameters.
        teacher_statistics: of the BatchNorm in the teacher's attention; the batch's are what published code uses.
        train_channel_attention: published code forgets the student's perceptrons, which stay at their initial values.
        attention_reduction: channels per hidden unit of the perceptrons.
        fewest_hidden: units of a perceptron on a narrow map; 1 is published.
        adapt_steps: updates of the teacher's attention.
        learning_rate_multiple: of the student's attention and of the connectors.
        mask_ignored: leave positions whose label is ignored out of the distance; attention still sees them.
    """

    card: ClassVar[Card] = Card(
        title="The student's attention-refined features point the same way as the teacher's.",
        equation="sum over taps of mean over images |S/|S| - T/|T||^2, S = BN(W CBAM(A_S)), T = CBAM(A_T)",
        source="Mansourian et al., Attention-guided feature distillation for semantic segmentation, 2024, eq. 1-5",
        implementation="AmirMansurian/AttnFD distiller.py, cbam.py @ f090bbe",
        deviations="one norm per image, published code has one per batch and a further 1/b; the student's attention "
        "and the connectors train throughout; the teacher's attention is trained by its own cross-entropy and frozen, "
        "which the paper claims and no published code does; by default networks without the taps backbone, encoder "
        "and decoder give layer4, ASPP or pyramid, and what the classifier reads",
        cost="per tap two CBAMs of about c^2/8 + c parameters, a c_S*c_T connector and five maps of b*c_T*h*w; "
        "adapt_steps updates with a backward pass through the teacher; all of it is dropped at export",
        tier="recommended",
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
        pre_relu: bool = False,
        scope: Scope = "sample",
        squared: bool = True,
        divide_by_batch: bool = False,
        attention_of_teacher: TeacherAttention = "adapted",
        teacher_statistics: Literal["running", "batch"] = "running",
        train_channel_attention: bool = True,
        attention_reduction: int = 16,
        fewest_hidden: int = 8,
        adapt_steps: int = 200,
        learning_rate_multiple: float = 10.0,
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "attnfd")
        stages = PRE_RELU_STAGES if pre_relu else STAGES
        self.pairs = named_pairs(taps, student_taps, teacher_taps) or known_pairs(stages, student, teacher)
        self.requires = required_taps(self.pairs)
        if adapt_steps < 1:
            raise ValueError(f"expected adapt_steps of at least 1, got {adapt_steps}; or set attention_of_teacher")
        channels = _channels(self.pairs, student, teacher)
        width = {"reduction": attention_reduction, "fewest_hidden": fewest_hidden}
        self.student_attention = nn.ModuleList(CBAM(own, **width) for own, _ in channels)
        self.connectors = nn.ModuleList(NormalisedConnector(*pair) for pair in channels)
        self.adapt_modules = nn.ModuleList(
            teacher_attention(attention_of_teacher, given, **width) for _, given in channels
        )
        self.adapt_steps = adapt_steps if attention_of_teacher == "adapted" else 0
        if not train_channel_attention:
            for name, parameter in self.student_attention.named_parameters():
                parameter.requires_grad_("perceptron" not in name)
        self.align_corners = teacher.align_corners
        self.scope: Scope = scope
        self.squared = squared
        self.divide_by_batch = divide_by_batch
        self.running_statistics = teacher_statistics == "running"
        self.learning_rate_multiple = learning_rate_multiple
        self.mask_ignored = mask_ignored

    @property
    def insertions(self) -> Mapping[str, nn.Module]:
        """The teacher's attention by tap, so that its head is fed with refined features while it adapts."""
        if not self.adapt_steps:
            return {}
        return {pair.teacher: module for pair, module in zip(self.pairs, self.adapt_modules, strict=True)}

    def adapt_loss(self, teacher: ModelOutput, batch: Batch) -> Tensor:
        """Mean cross-entropy of the teacher's logits over the labelled pixels.

        Raises:
            ConfigurationError: if the batch has no labels.
        """
        if batch.label is None:
            raise ConfigurationError(
                "expected labels for adapting the teacher's attention, got a batch without any",
                remedy="set `attention_of_teacher: parameter_free`, which needs no adaptation",
            )
        valid = batch.valid
        # An unlabelled image may hold anything; only `ignore_index` is sure to be skipped.
        label = torch.where(valid, batch.label, batch.ignore_index)
        values = cross_entropy_at_label_grid(
            at_least_two_classes(teacher.logits),
            label,
            align_corners=self.align_corners,
            ignore_index=batch.ignore_index,
        )
        return values.sum() / label_mass(label, valid, ignore_index=batch.ignore_index, dtype=values.dtype)

    def refinements(self, student: ModelOutput, teacher: ModelOutput) -> list[tuple[Refinement, Refinement]]:
        """Raw and refined features of student and teacher, tap by tap; the teacher's carry no gradient."""
        refined: list[tuple[Refinement, Refinement]] = []
        for pair, own, given in zip(self.pairs, self.student_attention, self.adapt_modules, strict=True):
            raw, raw_teacher = student.features[pair.student], teacher.features[pair.teacher]
            # An engine's train() reaches the frozen attention too; its statistics must not move again.
            with torch.no_grad():
                refined_teacher: Tensor = given(raw_teacher, running=self.running_statistics)
            ours = Refinement(pair.student, raw, own(raw))
            refined.append((ours, Refinement(pair.teacher, raw_teacher, refined_teacher)))
        return refined

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The distance, summed over the taps."""
        terms: list[Tensor] = []
        refined = self.refinements(student, expect_teacher(teacher, "attnfd"))
        for connector, (own, given) in zip(self.connectors, refined, strict=True):
            ours: Tensor = connector(own.refined)
            theirs = resize(given.refined, ours.shape[2:], align_corners=False)
            taught = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
            if taught is not None:
                inside = taught.unsqueeze(1)
                ours, theirs = torch.where(inside, ours, 0.0), torch.where(inside, theirs, 0.0)
            terms.append(refined_distance(ours, theirs, scope=self.scope, squared=self.squared))
        total = torch.stack(terms).sum()
        return {"attnfd": total / len(student.logits) if self.divide_by_batch else total}

    def optimiser_groups(self) -> list[ParameterGroup]:
        """The student's attention and the connectors; the teacher's attention is trained before, then frozen."""
        modules = (self.student_attention, self.connectors)
        parameters = tuple(value for module in modules for value in module.parameters() if value.requires_grad)
        return [ParameterGroup(parameters, learning_rate_multiple=self.learning_rate_multiple)]


def _channels(pairs: Sequence[TapPair], student: ModelInfo, teacher: ModelInfo) -> list[tuple[int, int]]:
    """Of student and teacher at every pair of taps, which must be maps."""
    found: list[tuple[int, int]] = []
    for pair in pairs:
        own, given = student.tap(pair.student), teacher.tap(pair.teacher)
        if not (own.stride and given.stride):
            raise ValueError(f"expected maps for `attnfd`, got a vector at {pair.student!r} or {pair.teacher!r}")
        found.append((own.channels, given.channels))
    return found
