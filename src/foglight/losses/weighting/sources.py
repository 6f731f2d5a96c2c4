r"""Where a pixel weight comes from: maps in [0, 1], large where the student is unsure or disagrees with its teacher.

    mc_dropout    sigma_S                          "b k *grid"   FOTF, equation 5; at most 1/2
    teacher_mc    sigma_T                          "b k *grid"   the same of the teacher
    entropy       -sum_k p log p / log k           "b 1 *grid"   1 where the student says nothing
    max_prob      1 - max_k p                      "b 1 *grid"   at most 1 - 1/k
    margin        1 - (p_(1) - p_(2))              "b 1 *grid"   1 where the two best classes tie
    teacher_gap   1 - exp(-kl(teacher || student)) "b 1 *grid"   the divergence itself while small

p = softmax(z_S / temperature), kl in nats, at the same temperature.
Source: FOTF for `mc_dropout`; the others stand beside it because they need no dropout and rank errors better in our
small-scale runs (kl(teacher || student) by far). `teacher_gap` is bounded by 1 - exp(-kl), which keeps the order of the
pixels, so that no pixel's weight can overflow. Cost: one softmax; `mc_dropout` is paid for in the network.
"""

import math
from dataclasses import dataclass
from typing import Final, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.config.schema import PixelWeightConfig
from foglight.functional.binary import at_least_two_classes
from foglight.functional.kl import class_kl
from foglight.functional.resize import resize
from foglight.types import Batch, ModelInfo, ModelOutput, Requires, SigmaRequest

NOTHING: Final = Requires()
TEACHER: Final = Requires(teacher=True)


@runtime_checkable
class Source(Protocol):
    """A map to weight by; it may carry a graph, which the weight cuts."""

    @property
    def requires(self) -> Requires:
        """What it reads beyond the student's logits."""
        ...

    @property
    def class_resolved(self) -> bool:
        """Whether it has a channel per class, or one channel."""
        ...

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch
    ) -> Float[Tensor, "b channels *grid"]:
        """Non-negative values."""
        ...


@final
@dataclass(frozen=True)
class McDropout:
    """The standard deviation of the student's softmax under its own dropout."""

    request: SigmaRequest
    class_resolved: bool = True

    @property
    def requires(self) -> Requires:
        """The student's sigma."""
        return Requires(student_sigma=frozenset({self.request}))

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch
    ) -> Float[Tensor, "b channels *grid"]:
        """Sigma as the network measured it."""
        return _sigma(student, self.request, "student")


@final
@dataclass(frozen=True)
class TeacherMc:
    """The standard deviation of the teacher's softmax under its own dropout."""

    request: SigmaRequest
    class_resolved: bool = True

    @property
    def requires(self) -> Requires:
        """The teacher's sigma."""
        return Requires(teacher_sigma=frozenset({self.request}), teacher=True)

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch
    ) -> Float[Tensor, "b channels *grid"]:
        """Sigma as the network measured it."""
        return _sigma(_given(teacher), self.request, "teacher")


@final
@dataclass(frozen=True)
class Entropy:
    """The entropy of the student's softmax over the largest possible one, log k."""

    temperature: float = 1.0
    class_resolved: bool = False
    requires: Requires = NOTHING

    def __call__(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> Float[Tensor, "b 1 *grid"]:
        """In [0, 1]."""
        probability = _softmax(student, self.temperature)
        return torch.special.entr(probability).sum(dim=1, keepdim=True) / math.log(probability.shape[1])


@final
@dataclass(frozen=True)
class MaxProb:
    """One minus the student's confidence."""

    temperature: float = 1.0
    class_resolved: bool = False
    requires: Requires = NOTHING

    def __call__(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> Float[Tensor, "b 1 *grid"]:
        """In [0, 1 - 1/k]."""
        return 1 - _softmax(student, self.temperature).amax(dim=1, keepdim=True)


@final
@dataclass(frozen=True)
class Margin:
    """One minus the lead of the student's best class over its second best."""

    temperature: float = 1.0
    class_resolved: bool = False
    requires: Requires = NOTHING

    def __call__(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> Float[Tensor, "b 1 *grid"]:
        """In [0, 1]."""
        best = _softmax(student, self.temperature).topk(2, dim=1).values
        return 1 - (best[:, :1] - best[:, 1:])


@final
@dataclass(frozen=True)
class TeacherGap:
    """How far the student's distribution is from its teacher's.

    Attributes:
        align_corners: the teacher's; its logits are resized to the student's grid.
        temperature: of both softmaxes.
    """

    align_corners: bool
    temperature: float = 1.0
    class_resolved: bool = False
    requires: Requires = TEACHER

    def __call__(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> Float[Tensor, "b 1 *grid"]:
        """In [0, 1)."""
        grid = tuple(student.logits.shape[2:])
        resized = resize(_given(teacher).logits, grid, align_corners=self.align_corners)
        divergence = class_kl(
            at_least_two_classes(student.logits), at_least_two_classes(resized), temperature=self.temperature
        ).sum(dim=1, keepdim=True)
        # Rounding may leave an equal pair a hair below zero.
        return -torch.expm1(-divergence.clamp_min(0))


def sigma_request(settings: PixelWeightConfig) -> SigmaRequest:
    """The measurement that the settings describe; equal ones are made once per batch."""
    return SigmaRequest(
        estimator=settings.estimator,
        passes=settings.passes,
        rate=settings.rate,
        grid=settings.grid,
        scope=settings.scope,
        ddof=settings.ddof,
        batch_norm=settings.batch_norm,
        stream=settings.stream,
        temperature=settings.temperature,
        match_passes=settings.match_passes,
    )


def build_source(settings: PixelWeightConfig, teacher: ModelInfo | None) -> Source:
    """The source that the settings name.

    Raises:
        ValueError: if it reads a teacher and there is none.
    """
    if teacher is None and settings.source in ("teacher_gap", "teacher_mc"):
        raise ValueError(
            f"expected a teacher for the pixel weight's source {settings.source!r}, got none; "
            "name a teacher or take entropy, max_prob, margin or mc_dropout"
        )
    match settings.source:
        case "mc_dropout":
            return McDropout(sigma_request(settings))
        case "teacher_mc":
            return TeacherMc(sigma_request(settings))
        case "entropy":
            return Entropy(settings.temperature)
        case "max_prob":
            return MaxProb(settings.temperature)
        case "margin":
            return Margin(settings.temperature)
        case "teacher_gap":
            return TeacherGap(teacher is not None and teacher.align_corners, settings.temperature)


def _sigma(output: ModelOutput, request: SigmaRequest, network: str) -> Tensor:
    if request not in output.sigma:
        raise ValueError(f"expected the {network}'s sigma for {request}, got none; pass `requires` on to the network")
    return output.sigma[request]


def _softmax(student: ModelOutput, temperature: float) -> Tensor:
    return (at_least_two_classes(student.logits) / temperature).softmax(dim=1)


def _given(teacher: ModelOutput | None) -> ModelOutput:
    if teacher is None:
        raise ValueError("expected the teacher's output, got none; this pixel weight reads it")
    return teacher
