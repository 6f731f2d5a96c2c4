"""A loss with the recipe's weight in front of each of its terms.

The weight is a number or a schedule over progress p in [0, 1]; it never reaches the loss.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from foglight.config.schema import Schedule
from foglight.errors import NotFiniteError
from foglight.losses.base import DistillationLoss, ReportsStatistics, Statistics, TeacherAdapted
from foglight.types import Batch, ModelInfo, ModelOutput, Requires, union

Weight = float | Schedule


def weight_at(weight: Weight, progress: float) -> float:
    """The factor in front of a term at that progress.

    >>> weight_at(Schedule(kind="warm-up", value=2.0, end=0.5), 0.25)
    1.0
    >>> weight_at(Schedule(kind="until", value=2.0, end=0.5), 0.5)
    0.0
    """
    if not isinstance(weight, Schedule):
        return float(weight)
    match weight.kind:
        case "constant":
            return weight.value
        case "warm-up":
            return weight.value * min(progress / weight.end, 1.0)
        case "decay":
            return weight.value * max(1.0 - progress / weight.end, 0.0)
        case "until":
            return weight.value if progress < weight.end else 0.0


@final
@dataclass(frozen=True)
class LossSpec:
    """A loss that is not built yet, with its weight in the total.

    Attributes:
        name: the method's; it prefixes a term only where two losses name a term alike.
        build: makes the loss from the two networks' infos.
        weight: one for all terms, or one per term (terms that are not named count 1).
    """

    name: str
    build: Callable[[ModelInfo, ModelInfo | None], DistillationLoss]
    weight: Weight | Mapping[str, Weight] = 1.0

    def of(self, term: str) -> Weight:
        """The weight of that term."""
        if isinstance(self.weight, Mapping):
            return self.weight.get(term, 1.0)
        return self.weight

    def silent_at(self, progress: float) -> bool:
        """Whether the whole loss weighs nothing at that progress."""
        return not isinstance(self.weight, Mapping) and weight_at(self.weight, progress) == 0.0

    @property
    def always_silent(self) -> bool:
        """Whether it never weighs anything: such a loss is not even built."""
        weight = self.weight.value if isinstance(self.weight, Schedule) else self.weight
        return weight == 0.0


@final
class Terms(nn.Module):
    """All losses of a run: what they need together, and their weighted sum.

    A loss of weight zero is left out; one that its schedule silences at this step is not computed.

    Args:
        student: what the student is.
        teacher: what the teacher is, None without one.
        specs: at least one loss.
    """

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, specs: Sequence[LossSpec]) -> None:
        super().__init__()
        if not specs:
            raise ValueError("expected at least one loss, got none; name a method or a loss")
        self.left_out = tuple(spec.name for spec in specs if spec.always_silent)
        self.specs = tuple(spec for spec in specs if not spec.always_silent)
        if not self.specs:
            raise ValueError("expected a loss with a weight above 0, got none; raise a `weight:`")
        self.losses = nn.ModuleList(spec.build(student, teacher) for spec in self.specs)

    def train(self, mode: bool = True) -> "Terms":
        """As usual, but what was adapted on the teacher stays in eval: it is part of the frozen side now."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, TeacherAdapted):
                part.adapt_modules.eval()
        return self

    @property
    def built(self) -> list[DistillationLoss]:
        """The losses, in the recipe's order."""
        return [loss for loss in self.losses if isinstance(loss, DistillationLoss)]

    @property
    def requires(self) -> Requires:
        """Everything that any loss reads."""
        return union([loss.requires for loss in self.built])

    def forward(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted total, and every unweighted term by name.

        Raises:
            NotFiniteError: naming the term, the files of the batch and the step.
        """
        named: dict[str, Tensor] = {}
        total = student.logits.new_zeros(())
        for spec, loss in zip(self.specs, self.built, strict=True):
            if spec.silent_at(batch.progress):
                continue
            for term, value in loss(student, teacher, batch).items():
                named[term if term not in named else f"{spec.name}.{term}"] = value
                weight = weight_at(spec.of(term), batch.progress)
                if weight != 0.0:
                    total = total + weight * value
        if not torch.isfinite(total.detach()):
            raise not_finite(named, batch)
        return total, named

    def statistics(self) -> Statistics:
        """What the losses want logged, in one record."""
        values: dict[str, float] = {}
        notes: list[str] = []
        for spec, loss in zip(self.specs, self.losses, strict=True):
            if isinstance(loss, ReportsStatistics):
                reported = loss.statistics()
                values |= {f"{spec.name}.{name}": value for name, value in reported.values.items()}
                notes += [f"{spec.name}: {note}" for note in reported.notes]
        return Statistics(values, tuple(notes))


def not_finite(terms: Mapping[str, Tensor], batch: Batch) -> NotFiniteError:
    """The error for a batch whose total is NaN or infinite."""
    bad = [f"{name} is {value.item()}" for name, value in terms.items() if not torch.isfinite(value.detach())]
    files = ", ".join(batch.ids[:8]) + (f" and {len(batch.ids) - 8} more" if len(batch.ids) > 8 else "")
    what = "; ".join(bad) or "every term is finite but their weighted sum is not"
    return NotFiniteError(
        f"step {batch.step}: {what}, in the batch of {files or 'unnamed images'}",
        remedy="look at these files with `foglight check-data`, or lower `optim.lr` or the term's `weight`",
    )
