"""The nouns that everybody shares: what a network said, what a batch holds, what a network is, what a loss needs.

Shapes: b batch, k classes, c channels, h w the head's grid, H W the label's grid, x extra channels.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IGNORE_INDEX: Final = 255
_HALF_TYPES: Final = (torch.float16, torch.bfloat16)

Estimator = Literal["closed_form", "replay", "full"]
Grid = Literal["head", "label"]
Scope = Literal["all", "last_dropout"]
BatchNormMode = Literal["batch", "running", "update"]
RandomStream = Literal["own", "shared"]
# What one extra channel measures; 0 marks a pixel without a measurement in every kind but `other`.
#   depth          metres along the optical axis          inverse_depth  1/metre
#   disparity      pixels of the frame as it is now       normal_x/y/z   unit vector; x to the right, y down, z ahead
#   other          anything that geometry leaves alone: thermal, intensity, height
ChannelKind = Literal["depth", "inverse_depth", "disparity", "normal_x", "normal_y", "normal_z", "other"]
NORMALS: Final[tuple[ChannelKind, ...]] = ("normal_x", "normal_y", "normal_z")


def derive_seed(seed: int, *parts: int | str) -> int:
    """A 63-bit seed that is a pure function of its arguments, the same on every machine.

    >>> derive_seed(0, "student", 3) == derive_seed(0, "student", 3) != derive_seed(0, "student", 4)
    True
    """
    text = "/".join([str(seed), *(str(part) for part in parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@final
@dataclass(frozen=True)
class SigmaRequest:
    """How one standard deviation of the softmax under dropout is wanted; equal requests are computed once.

    Attributes:
        estimator: None takes `closed_form` where it is complete and `replay` elsewhere.
        passes: T, the number of stochastic passes of `replay` and `full`.
        rate: replaces the rate of every active dropout while sigma is estimated; None keeps each one's own.
        grid: the head's grid, or the label's (sampled there, or propagated with squared bilinear weights).
        scope: `last_dropout` looks only at the dropout that feeds the classifier.
        ddof: 0 for the population form, 1 for the sample form.
        batch_norm: in the passes: the batch's statistics with the running ones untouched, the running ones,
            or the batch's with the running ones updated (what a naive loop in train mode does).
        stream: the passes draw from a stream of their own, or from the one of the training pass.
        temperature: of the softmax in the passes.
        match_passes: scales the closed form by the mean ratio of a T-pass standard deviation to the true one.
    """

    estimator: Estimator | None = None
    passes: int = 5
    rate: float | None = None
    grid: Grid = "head"
    scope: Scope = "all"
    ddof: int = 0
    batch_norm: BatchNormMode = "batch"
    stream: RandomStream = "own"
    temperature: float = 1.0
    match_passes: int | None = None

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"expected passes >= 1, got {self.passes}; T = 5 is the paper's")
        if self.ddof not in (0, 1):
            raise ValueError(f"expected ddof 0 or 1, got {self.ddof}")
        if self.rate is not None and not 0 <= self.rate < 1:
            raise ValueError(f"expected a dropout rate in [0, 1), got {self.rate}")


@final
@dataclass(frozen=True)
class ModelOutput:
    """What one network said about one batch, in at least float32.

    Attributes:
        logits: on the head's own grid; the grid is empty for classification.
        features: by tap, only those asked for.
        auxiliary: logits of auxiliary heads, in training only.
        sigma: standard deviation of the softmax under dropout by request, without gradient, only if asked for.
    """

    logits: Float[Tensor, "b k *grid"]
    features: Mapping[str, Float[Tensor, "b c *tap"]] = field(default_factory=dict)
    auxiliary: tuple[Float[Tensor, "b k *auxiliary"], ...] = ()
    sigma: Mapping[SigmaRequest, Float[Tensor, "b k *sigma_grid"]] = field(default_factory=dict)

    def detach(self) -> "ModelOutput":
        """The same values without a graph."""
        return ModelOutput(
            self.logits.detach(),
            {tap: feature.detach() for tap, feature in self.features.items()},
            tuple(logits.detach() for logits in self.auxiliary),
            self.sigma,
        )

    def promote(self) -> "ModelOutput":
        """Half types become float32; float32 and float64 stay what they are."""
        if all(values.dtype not in _HALF_TYPES for values in self._tensors()):
            return self
        return ModelOutput(
            at_least_float32(self.logits),
            {tap: at_least_float32(feature) for tap, feature in self.features.items()},
            tuple(at_least_float32(logits) for logits in self.auxiliary),
            {request: at_least_float32(sigma) for request, sigma in self.sigma.items()},
        )

    def _tensors(self) -> tuple[Tensor, ...]:
        return self.logits, *self.features.values(), *self.auxiliary, *self.sigma.values()


def at_least_float32(values: Tensor) -> Tensor:
    """Half types become float32; float32 and float64 are handed on as they are."""
    return values.float() if values.dtype in _HALF_TYPES else values


@final
@dataclass(frozen=True)
class Batch:
    """One batch as the losses and networks see it.

    Attributes:
        image: red, green, blue in [0, 1]; each network normalises inside itself.
        extra: depth in metres, disparity, normals or any further channels; 0 where nothing was measured.
        extra_kinds: what each extra channel measures; empty counts as `other` for all of them.
        label: class indices, `ignore_index` where nothing is said; "b" for classification, None without labels.
        labelled: which images have a label at all; unlabelled is not the same as ignored.
        ids: file names or frame names, for messages.
        geometry: the affine map (pixel of the crop to pixel of the stored image) that augmentation applied.
        step: student updates so far.
        progress: step over the budget, in [0, 1].
        seed: of the run.
        rank: of this process.
    """

    image: Float[Tensor, "b 3 H W"]
    extra: Float[Tensor, "b x H W"] | None = None
    label: Int[Tensor, "b *label_grid"] | None = None
    labelled: Bool[Tensor, " b"] | None = None
    ids: tuple[str, ...] = ()
    geometry: Float[Tensor, "b 2 3"] | None = None
    ignore_index: int = IGNORE_INDEX
    step: int = 0
    progress: float = 0.0
    seed: int = 0
    rank: int = 0
    extra_kinds: tuple[ChannelKind, ...] = ()

    @property
    def valid(self) -> Bool[Tensor, "b *label_grid"]:
        """Where the label says something, in images that have one.

        Raises:
            ValueError: if the batch has no label.
        """
        if self.label is None:
            raise ValueError("expected a batch with labels, got none; this loss cannot learn from unlabelled images")
        valid = self.label != self.ignore_index
        if self.labelled is not None:
            valid = valid & self.labelled.view(-1, *(1 for _ in self.label.shape[1:]))
        return valid

    def generator(self, name: str) -> torch.Generator:
        """A CPU generator that is a pure function of (seed, step, rank, name)."""
        return torch.Generator().manual_seed(derive_seed(self.seed, self.step, self.rank, name))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`."""

        def move(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.to(device, non_blocking=non_blocking)

        return replace(
            self,
            image=self.image.to(device, non_blocking=non_blocking),
            extra=move(self.extra),
            label=move(self.label),
            labelled=move(self.labelled),
            geometry=move(self.geometry),
        )


@final
@dataclass(frozen=True)
class TapInfo:
    """A named position whose feature can be read.

    Attributes:
        channels: c.
        stride: pixels of the image per position of the map; 0 for a vector.
        closing_batch_norm: weight and bias of the BatchNorm that ends the tapped block, where there is one.
    """

    channels: int
    stride: int
    closing_batch_norm: tuple[Tensor, Tensor] | None = None


@final
@dataclass(frozen=True)
class DropoutInfo:
    """An active dropout in the path from image to logits.

    Attributes:
        name: of the module.
        rate: the probability of a zero.
        feeds_classifier: whether the module that makes the logits reads this dropout's output directly.
    """

    name: str
    rate: float
    feeds_classifier: bool


@final
@dataclass(frozen=True)
class ModelInfo:
    """What a network is, as measured by a dry run.

    Attributes:
        num_classes: k.
        stride: pixels of the image per logit; 0 for classification.
        taps: by name, in order of execution.
        align_corners: how this network's logits are resized, in training, evaluation and export alike.
        dropouts: the active ones in the path to the logits, in order of execution.
    """

    num_classes: int
    stride: int
    taps: Mapping[str, TapInfo] = field(default_factory=dict)
    align_corners: bool = False
    dropouts: tuple[DropoutInfo, ...] = ()

    def tap(self, name: str) -> TapInfo:
        """The tap of that name.

        Raises:
            ValueError: if there is none; the message lists those that there are.
        """
        if name not in self.taps:
            raise ValueError(f"expected one of the taps {', '.join(self.taps) or '(none)'}, got {name!r}")
        return self.taps[name]


@final
@dataclass(frozen=True)
class Requires:
    """What a loss reads; the engine asks the networks for the union over all losses, and for nothing else.

    Attributes:
        student_taps: positions of the student.
        teacher_taps: positions of the teacher.
        student_sigma: of the student.
        teacher_sigma: of the teacher.
        teacher: whether the teacher's output is read at all; without it the teacher is not run.
        label: whether the loss needs labels.
        images: fewest images in one process's batch that it can compare.
        classes: fewest classes that it can tell anything about.
    """

    student_taps: frozenset[str] = frozenset()
    teacher_taps: frozenset[str] = frozenset()
    student_sigma: frozenset[SigmaRequest] = frozenset()
    teacher_sigma: frozenset[SigmaRequest] = frozenset()
    teacher: bool = False
    label: bool = False
    images: int = 1
    classes: int = 1

    def __or__(self, other: "Requires") -> "Requires":
        return Requires(
            self.student_taps | other.student_taps,
            self.teacher_taps | other.teacher_taps,
            self.student_sigma | other.student_sigma,
            self.teacher_sigma | other.teacher_sigma,
            self.teacher or other.teacher,
            self.label or other.label,
            max(self.images, other.images),
            max(self.classes, other.classes),
        )


def union(requirements: Collection[Requires]) -> Requires:
    """Everything that any of them needs."""
    total = Requires()
    for requirement in requirements:
        total = total | requirement
    return total
