"""Toy losses, one for each thing that a loss may own: discriminator, queue, adapted teacher, draws, variances, maps."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.functional.resize import resize, resize_label
from foglight.losses.base import AdversarialLoss, Card, DistillationLoss, PixelLoss, PixelMap, TeacherAdapted
from foglight.losses.memory import RingBuffer
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

TAP = "layer4"
FEATURES = Requires(student_taps=frozenset({TAP}), teacher_taps=frozenset({TAP}), teacher=True)


def toy_card(equation: str, **changes: frozenset[str] | bool) -> Card:
    return Card(title="A toy.", equation=equation, source="these tests", cost="nothing", **changes)


def features(student: ModelOutput, teacher: ModelOutput | None) -> tuple[Tensor, Tensor]:
    """Both networks' features on the student's grid."""
    assert teacher is not None
    size = student.features[TAP].shape[2:]
    return student.features[TAP], resize(teacher.features[TAP], size, align_corners=False)


class Projected(DistillationLoss):
    """What the feature toys share: a projection to the teacher's channels."""

    requires = FEATURES

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__()
        assert teacher is not None
        self.projection = nn.Conv2d(student.tap(TAP).channels, teacher.tap(TAP).channels, 1)


class ToyAdversary(AdversarialLoss):
    card: ClassVar[Card] = toy_card(
        "-mean D(softmax(z))", masks_ignored=False, may_be_negative=frozenset({"adversarial"})
    )
    requires = Requires(teacher=True)

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__()
        self.discriminator: nn.Module = nn.Conv2d(student.num_classes, 1, 1)

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        return {"adversarial": -self.discriminator(student.logits.softmax(1)).mean()}

    def discriminator_loss(self, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
        real, fake = self.discriminator(teacher.logits.softmax(1)), self.discriminator(student.logits.softmax(1))
        return fake.mean() - real.mean()


class ToyQueue(Projected):
    """Pulls the student's mean feature towards what the teacher said in the batches before."""

    card: ClassVar[Card] = toy_card("mean |P f_S - stored|^2", masks_ignored=False)

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__(student, teacher)
        self.memory = RingBuffer(1, 4, self.projection.out_channels)

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        own, given = features(student, teacher)
        anchors = torch.cat([self.memory.stored(0).to(given.dtype), given.mean((2, 3))])
        distance = (self.projection(own).mean((2, 3)).unsqueeze(1) - anchors).square().mean()
        if self.training:
            self.memory.push(0, given.mean((2, 3)))
        return {"queue": distance}


class ToyAdaptation(TeacherAdapted):
    """A gate stands in the teacher's path while it adapts, and shapes the target afterwards."""

    card: ClassVar[Card] = toy_card("mean |P f_S - g f_T|^2", masks_ignored=False)
    requires = FEATURES
    adapt_steps = 2

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__()
        assert teacher is not None
        self.projection = nn.Conv2d(student.tap(TAP).channels, teacher.tap(TAP).channels, 1)
        gate = nn.Conv2d(self.projection.out_channels, self.projection.out_channels, 1)
        self.adapt_modules = nn.ModuleList([gate])

    @property
    def insertions(self) -> Mapping[str, nn.Module]:
        return {TAP: self.adapt_modules[0]}

    def adapt_loss(self, teacher: ModelOutput, batch: Batch) -> Tensor:
        label = resize_label(batch.label, teacher.logits.shape[2:])
        return F.cross_entropy(teacher.logits, label, ignore_index=batch.ignore_index)

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        own, given = features(student, teacher)
        return {"gated": (self.projection(own) - self.adapt_modules[0](given)).square().mean()}


class ToyDraws(Projected):
    """Compares a random half of the positions."""

    card: ClassVar[Card] = toy_card("mean over drawn i of |P f_S - f_T|^2", masks_ignored=False)

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        own, given = features(student, teacher)
        drawn = self.draw(batch, {"mask": (len(own), 1, *own.shape[2:])})["mask"] < 0.5
        return {"masked": torch.where(drawn, (self.projection(own) - given).square(), 0).mean()}


class ToyVariances(Projected):
    """Two terms: a likelihood with learned variances, and one that trains nothing but the projection."""

    card: ClassVar[Card] = toy_card(
        "v + |P f_S - f_T|^2 / exp v; |P stop(f_S) - f_T|^2",
        masks_ignored=False,
        may_be_negative=frozenset({"likelihood"}),
        trains_only_itself=frozenset({"fit"}),
    )

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__(student, teacher)
        self.log_variance = nn.Parameter(torch.zeros(self.projection.out_channels, 1, 1))

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        own, given = features(student, teacher)
        squares = (self.projection(own) - given).square()
        fit = (self.projection(own.detach()) - given).square().mean()
        return {"likelihood": (self.log_variance + squares / self.log_variance.exp()).mean(), "fit": fit}


class ToyMap(PixelLoss):
    """A per-pixel loss on features: its channels are no classes."""

    card: ClassVar[Card] = toy_card("mean over valid of |P f_S - f_T|^2")
    requires = FEATURES

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__()
        assert teacher is not None
        self.projection = nn.Conv2d(student.tap(TAP).channels, teacher.tap(TAP).channels, 1)

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        own, given = features(student, teacher)
        valid = torch.ones(len(own), *own.shape[2:], dtype=torch.bool)
        if batch.label is not None:
            valid = resize_label(batch.valid, own.shape[2:])
        values = (self.projection(own) - given).square()
        denominator = (valid.sum() * values.shape[1]).clamp_min(1).to(values.dtype)
        return {"map": PixelMap(values, valid, denominator, "none", channels_are_classes=False)}


TOYS = (ToyAdversary, ToyQueue, ToyAdaptation, ToyDraws, ToyVariances, ToyMap)
