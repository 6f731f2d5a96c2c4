"""Planted faults: losses that each break one law, most of them as published code does."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.functional.resize import resize
from foglight.losses.base import Card, DistillationLoss, ParameterGroup, PixelLoss, PixelMap, PixelWeight
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

from .toys import ToyAdversary, ToyMap, ToyQueue, ToyVariances, features, toy_card


class OrphanParameter(ToyVariances):
    """VID's variances in a plain list: in the graph, but in no module and no optimiser."""

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__(student, teacher)
        self.orphans = [nn.Parameter(torch.zeros(self.projection.out_channels, 1, 1))]

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        terms = super().forward(student, teacher, batch)
        return {**terms, "likelihood": terms["likelihood"] + self.orphans[0].mean()}


class ForgottenParameter(ToyVariances):
    """AttnFD's filter on types: registered, but left out of the groups."""

    def optimiser_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(tuple(self.projection.parameters()))]


class UnusedParameter(ToyVariances):
    """A layer that nothing runs through."""

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__(student, teacher)
        self.unused = nn.Linear(2, 2)


class TeacherInPlace(ToyMap):
    """Normalises the teacher's feature where it lies."""

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        assert teacher is not None
        teacher.features["layer4"].div_(2)
        return super().pixel_maps(student, teacher, batch)


class TeacherWithGradient(ToyMap):
    """Asks for a gradient on the teacher's feature."""

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        assert teacher is not None
        teacher.features["layer4"].requires_grad_()
        return super().pixel_maps(student, teacher, batch)


class SilentTerm(ToyMap):
    """Detaches the student, so that the term teaches nothing."""

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        return super().pixel_maps(student.detach(), teacher, batch)


class LeakyMask(PixelLoss):
    """Ignored pixels are taken for class 0 instead of being left out."""

    card: ClassVar[Card] = toy_card("-log softmax(z)[y]")
    requires = Requires(label=True)

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__()
        self.align_corners = student.align_corners

    def values(self, student: ModelOutput, batch: Batch) -> Tensor:
        assert batch.label is not None
        label = torch.where(batch.valid, batch.label, 0)
        logits = resize(student.logits, label.shape[1:], align_corners=self.align_corners)
        return F.cross_entropy(logits, label, reduction="none").unsqueeze(1)

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        values = self.values(student, batch)
        valid = torch.ones_like(values[:, 0], dtype=torch.bool)
        return {"ce": PixelMap(values, valid, valid.sum().to(values.dtype), "none")}


class NaNOnAllIgnored(LeakyMask):
    """Divides by the number of valid pixels, whatever that is."""

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        values = self.values(student, batch)
        return {"ce": PixelMap(values, batch.valid, batch.valid.sum().to(values.dtype), "none")}


class ReadsUnlabelled(LeakyMask):
    """Takes the label of an image that has none at its word."""

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        assert batch.label is not None
        valid = batch.label != batch.ignore_index
        every = Batch(batch.image, label=batch.label)
        return {"ce": PixelMap(self.values(student, every), valid, valid.sum().clamp_min(1).float(), "none")}


class GlobalStream(ToyMap):
    """Draws its mask from the stream that also makes the student's dropout masks."""

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        (name, plain), *_ = super().pixel_maps(student, teacher, batch).items()
        drawn = plain.valid & (torch.rand(plain.valid.shape) < 0.5)
        return {name: PixelMap(plain.values, drawn, plain.denominator, "none", channels_are_classes=False)}


class NaiveSoftmax(LeakyMask):
    """log(softmax(z)) overflows to minus infinity."""

    def values(self, student: ModelOutput, batch: Batch) -> Tensor:
        assert batch.label is not None
        label = torch.where(batch.valid, batch.label, 0)
        logits = resize(student.logits, label.shape[1:], align_corners=self.align_corners)
        return -logits.softmax(1).log().gather(1, label.unsqueeze(1))


class ForgetfulQueue(ToyQueue):
    """Keeps its memory where no checkpoint looks."""

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__(student, teacher)
        self.recent: list[Tensor] = []

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        own, given = features(student, teacher)
        target = torch.stack([given.mean((0, 2, 3)), *self.recent]).mean(0)
        self.recent = [target]
        return {"queue": (self.projection(own).mean((2, 3)) - target).square().mean()}


class QueueInEval(ToyQueue):
    """Goes on filling its memory in eval()."""

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        own, given = features(student, teacher)
        self.memory.push(0, given.mean((2, 3)))
        return {"queue": (self.projection(own).mean((2, 3)) - self.memory.stored(0).mean(0)).square().mean()}


class WeightInTheDenominator(ToyMap):
    """A weighted mean over the weights: a weight of one is then another sum."""

    def weighted(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, weight: PixelWeight | None
    ) -> dict[str, Tensor]:
        if weight is None:
            return super().weighted(student, teacher, batch, None)
        (name, plain), *_ = self.pixel_maps(student, teacher, batch).items()
        w = weight(name, plain, student, teacher, batch) * plain.valid.unsqueeze(1)
        return {name: (w * plain.values).sum() / w.sum()}


class NegativeDivergence(ToyMap):
    """Says nothing on its card of falling below zero."""

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        (name, plain), *_ = super().pixel_maps(student, teacher, batch).items()
        values = plain.values - 100
        return {name: PixelMap(values, plain.valid, plain.denominator, "none", channels_are_classes=False)}


class DiscriminatorReachesStudent(ToyAdversary):
    """The discriminator's loss trains a parameter that is not the discriminator's."""

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None) -> None:
        super().__init__(student, teacher)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        return {"adversarial": self.gain * super().forward(student, teacher, batch)["adversarial"]}

    def discriminator_loss(self, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
        return self.gain * super().discriminator_loss(student, teacher, batch)


class NoSource(ToyMap):
    """A card that does not say where the method comes from."""

    card: ClassVar[Card] = Card(title="A toy.", equation="mean |f_S - f_T|^2", source="", cost="nothing")


class NeedsTwoImages(ToyQueue):
    """A variance over the batch: NaN for one image."""

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        own, _ = features(student, teacher)
        means = self.projection(own).mean((2, 3))
        return {"queue": (means - means.mean(0)).square().sum() / (len(means) - 1)}


def naive_training(student: nn.Module, teacher: nn.Module, *, teacher_in_train_mode: bool, train_both: bool) -> None:
    """Three steps of a distillation loop with the two faults that published loops have."""
    teacher.train(teacher_in_train_mode)
    parameters = [*student.parameters(), *(teacher.parameters() if train_both else ())]
    optimiser = torch.optim.SGD(parameters, lr=0.1)
    for _ in range(3):
        image = torch.randn(2, 3, 4, 4)
        target = teacher(image) if train_both else teacher(image).detach()
        loss = F.mse_loss(student(image), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


# Which law catches it, and what the law says.
FAULTS: dict[type[DistillationLoss], tuple[str, str]] = {
    OrphanParameter: ("every_leaf_has_an_owner", "neither the student's nor a parameter"),
    ForgottenParameter: ("every_leaf_has_an_owner", "not in exactly one group"),
    UnusedParameter: ("every_parameter_moves", "no gradient ever reaches unused"),
    TeacherInPlace: ("inputs_are_untouched", "layer4 was changed in place"),
    TeacherWithGradient: ("every_leaf_has_an_owner", "neither the student's nor a parameter"),
    SilentTerm: ("every_term_teaches", "the student's gradient is zero"),
    LeakyMask: ("ignored_pixels", "ce changed"),
    NaNOnAllIgnored: ("all_ignored", "expected a finite value"),
    ReadsUnlabelled: ("unlabelled_images", "ce changed"),
    GlobalStream: ("random_numbers", "global random stream"),
    NaiveSoftmax: ("extreme_logits", "expected a finite value"),
    ForgetfulQueue: ("state_round_trip", "queue changed"),
    QueueInEval: ("eval_leaves_state", "changed in eval"),
    WeightInTheDenominator: ("unit_weight", "map changed"),
    NegativeDivergence: ("not_negative", "expected no negative value"),
    DiscriminatorReachesStudent: ("discriminator", "reaches something else"),
    NoSource: ("card", "no source"),
    NeedsTwoImages: ("one_image", "expected a finite value"),
}
