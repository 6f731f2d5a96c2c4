"""The contract that every distillation loss keeps.

A loss sees what the student said, what the teacher said and the batch; it returns named scalar terms. It owns its
learnable parts and its memory, never a network, never an optimiser, never a recipe's weight.

A per-pixel loss is written as a map: term = sum over valid of (weight * values) / denominator. The denominator never
sees the weight, so a weight of one reproduces the plain loss bit for bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from foglight.functional.gather import mean_over_processes
from foglight.types import Batch, ModelOutput, Requires

Tier = Literal["recommended", "supported", "for comparison"]
Distribution = Literal["class", "space", "none"]


@final
@dataclass(frozen=True)
class Card:
    """What a reader should know of a method before using it.

    Attributes:
        title: one plain sentence.
        equation: in plain text.
        source: paper and equation.
        implementation: public repository, file and commit; empty where there is none.
        deviations: what we changed and why; empty where nothing.
        cost: extra parameters, memory and passes.
        tier: recommended, supported or for comparison.
        trains_only_itself: terms that give the student no gradient by design.
        may_be_negative: terms that are not divergences.
        masks_ignored: whether ignored pixels change neither value nor gradient by default.
    """

    title: str
    equation: str
    source: str
    implementation: str = ""
    deviations: str = ""
    cost: str = ""
    tier: Tier = "supported"
    trains_only_itself: frozenset[str] = frozenset()
    may_be_negative: frozenset[str] = frozenset()
    masks_ignored: bool = True


@final
@dataclass(frozen=True)
class ParameterGroup:
    """Parameters of a loss and how an optimiser should treat them.

    Attributes:
        parameters: each belongs to exactly one group.
        learning_rate_multiple: of the run's learning rate.
        clip_norm: largest gradient norm of this group, None for no clipping.
        weight_decay: of this group, None for the run's.
    """

    parameters: tuple[nn.Parameter, ...]
    learning_rate_multiple: float = 1.0
    clip_norm: float | None = None
    weight_decay: float | None = None


class DistillationLoss(nn.Module, ABC):
    """A method. Constructed whole from (student info, teacher info, hyper-parameters); nothing is lazy.

    Autocast is off inside and half types are promoted to float32, whoever calls it.
    """

    card: ClassVar[Card]
    requires: Requires

    @abstractmethod
    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, each with a graph to the student or to this module's parameters."""

    @final
    def __call__(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Run forward with autocast off, on outputs in at least float32."""
        device = student.logits.device.type
        outputs = student.promote(), None if teacher is None else teacher.promote()
        # Switching autocast costs as much as a small loss.
        if not torch.is_autocast_enabled(device):
            return super().__call__(*outputs, batch)
        with torch.autocast(device, enabled=False):
            return super().__call__(*outputs, batch)

    def optimiser_groups(self) -> list[ParameterGroup]:
        """By default one group with all parameters at the run's learning rate."""
        parameters = tuple(parameter for parameter in self.parameters() if parameter.requires_grad)
        return [ParameterGroup(parameters)] if parameters else []

    def draw(self, batch: Batch, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Uniform random numbers in [0, 1) by name: the only place where a loss may draw. Tests inject arrays here."""
        return {
            name: torch.rand(shape, generator=batch.generator(f"{type(self).__name__}/{name}")).to(batch.image.device)
            for name, shape in shapes.items()
        }


@final
@dataclass(frozen=True)
class PixelMap:
    """One term before it is summed.

    Attributes:
        values: per pixel, or per class and pixel.
        valid: which pixels count; None for all, which saves two passes over the values.
        denominator: what the sum is divided by; never sees a pixel weight.
        distribution: over what the values form a divergence: over classes at a pixel, over space in a channel, or
            neither. Pixel or image weights keep a divergence where it is "class", class or image ones where "space".
        label: class index per pixel where a class-resolved weight on a one-channel map is taken at the label.
        channels_are_classes: whether the channels of `values` are classes; where not, class-resolved weights are
            refused.
        weighted: False for auxiliary terms, which no pixel weight touches.
    """

    values: Float[Tensor, "b channels *grid"]
    valid: Bool[Tensor, "b *grid"] | None
    denominator: Float[Tensor, ""]
    distribution: Distribution
    label: Int[Tensor, "b *grid"] | None = None
    channels_are_classes: bool = True
    weighted: bool = True

    def reduce(self, weight: Float[Tensor, "..."] | None = None) -> Float[Tensor, ""]:
        """Sum over valid of (weight * values) / denominator; zero with a graph where nothing is valid."""
        values = self.values
        if self.valid is not None:
            # where(), not a product: a NaN or an infinity at an ignored pixel must reach neither value nor gradient.
            values = torch.where(self.valid.unsqueeze(1), values, values.new_zeros(()))
        if weight is not None:
            values = values * weight
        return self.share(values.sum())

    def counted(self) -> Bool[Tensor, "b *grid"]:
        """Which pixels count, as a mask in any case."""
        if self.valid is not None:
            return self.valid
        everywhere = torch.full((), True, device=self.values.device)
        return everywhere.expand(len(self.values), *self.values.shape[2:])

    def share(self, total: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """A sum over valid / denominator, the latter as the mean over processes: so their mean is the whole batch's."""
        return total / mean_over_processes(self.denominator)


@runtime_checkable
class PixelWeight(Protocol):
    """A positive map without gradient that multiplies a term's per-pixel values."""

    def __call__(
        self, term: str, pixel_map: PixelMap, student: ModelOutput, teacher: ModelOutput | None, batch: Batch
    ) -> Tensor:
        """A weight that broadcasts against `pixel_map.values`."""
        ...


class PixelLoss(DistillationLoss):
    """A loss whose terms are sums of per-pixel maps, so that a pixel weight can be laid over it."""

    @abstractmethod
    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """One map per term."""

    def weighted(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, weight: PixelWeight | None
    ) -> dict[str, Tensor]:
        """The terms under a pixel weight; the plain loss is the same code with no weight."""
        terms: dict[str, Tensor] = {}
        for term, pixel_map in self.pixel_maps(student, teacher, batch).items():
            if weight is None or not pixel_map.weighted:
                terms[term] = pixel_map.reduce()
            else:
                terms[term] = pixel_map.reduce(weight(term, pixel_map, student, teacher, batch))
        return terms

    @final
    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The unweighted terms."""
        return self.weighted(student, teacher, batch, None)


class AdversarialLoss(DistillationLoss):
    """A loss with a discriminator, whose optimiser the engine owns.

    `forward` gives the student's term; the discriminator's own loss sees the student's output without a graph.

    Attributes:
        discriminator: trained by its own loss alone.
    """

    discriminator: nn.Module

    @abstractmethod
    def discriminator_loss(self, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
        """What the discriminator minimises; `student` is detached."""


class TeacherAdapted(DistillationLoss):
    """A loss that trains modules on the teacher before the distillation starts; then the engine freezes them.

    Attributes:
        adapt_modules: what is trained in that stage.
        adapt_steps: its length in updates.
    """

    adapt_modules: nn.ModuleList
    adapt_steps: int

    @property
    @abstractmethod
    def insertions(self) -> Mapping[str, nn.Module]:
        """By tap, modules that stand in the frozen teacher's path while adapting; may be empty."""

    @abstractmethod
    def adapt_loss(self, teacher: ModelOutput, batch: Batch) -> Tensor:
        """What the stage minimises."""


@final
@dataclass(frozen=True)
class Statistics:
    """Figures that a loss wants logged beside its terms; they carry no gradient and change nothing.

    Attributes:
        values: by name, plain numbers.
        notes: sentences for the log, each said once per run.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class ReportsStatistics(Protocol):
    """A loss that has figures to log about its last forward."""

    def statistics(self) -> Statistics:
        """About the last forward; empty before the first."""
        ...


# What a registry hands out: a loss class, called as class(student_info, teacher_info, **hyper_parameters).
LossFactory = Callable[..., DistillationLoss]
Options = Mapping[str, Any]
