"""What two networks might say about a small batch: infos, outputs and labels for any loss, whatever it reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foglight.types import Batch, DropoutInfo, ModelInfo, ModelOutput, Requires, SigmaRequest, TapInfo

CLASSES = 5
SIZE = (33, 41)
STRIDES = {"stem": 2, "layer1": 4, "layer2": 8, "layer3": 8, "layer4": 8, "head": 8}


class EveryTap(Mapping[str, TapInfo]):
    """The usual taps by iteration, and any other name on request, so that no loss needs a scene of its own."""

    def __init__(self, channels: int, *, finer: int = 1, vector: bool = False) -> None:
        self.channels, self.finer, self.vector = channels, finer, vector

    def __getitem__(self, name: str) -> TapInfo:
        stride = 0 if self.vector else max(STRIDES.get(name, 8) // self.finer, 1)
        affine = (torch.linspace(0.5, 1.5, self.channels), torch.linspace(-1.0, 1.0, self.channels))
        return TapInfo(self.channels, stride, closing_batch_norm=affine)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(STRIDES)

    def __len__(self) -> int:
        return len(STRIDES)


@dataclass(frozen=True)
class Pair:
    """A student and a teacher that differ, by default, in channels, grid and alignment."""

    channels: tuple[int, int] = (6, 8)
    finer: int = 2
    vector: bool = False

    @property
    def student(self) -> ModelInfo:
        dropout = DropoutInfo("head.dropout", 0.1, feeds_classifier=True)
        taps = EveryTap(self.channels[0], vector=self.vector)
        return ModelInfo(CLASSES, 0 if self.vector else 8, taps, align_corners=False, dropouts=(dropout,))

    @property
    def teacher(self) -> ModelInfo:
        taps = EveryTap(self.channels[1], finer=self.finer, vector=self.vector)
        return ModelInfo(CLASSES, 0 if self.vector else 8 // self.finer, taps, align_corners=True)


TWINS = Pair(channels=(6, 6), finer=1)
VECTORS = Pair(vector=True)


@dataclass(frozen=True)
class Scene:
    """One call of a loss; the student's tensors are leaves that ask for a gradient."""

    student: ModelOutput
    teacher: ModelOutput | None
    batch: Batch

    def student_leaves(self) -> dict[str, Tensor]:
        return named_tensors(self.student)

    def with_batch(self, **changes: Tensor | int | None) -> "Scene":
        return replace(self, batch=replace(self.batch, **changes))


def named_tensors(output: ModelOutput) -> dict[str, Tensor]:
    auxiliary = {f"auxiliary {index}": logits for index, logits in enumerate(output.auxiliary)}
    return {"logits": output.logits, **output.features, **auxiliary}


def make_scene(
    requires: Requires,
    *,
    pair: Pair = Pair(),
    seed: int = 0,
    images: int = 2,
    size: tuple[int, int] = SIZE,
    dtype: torch.dtype = torch.float32,
) -> Scene:
    """Random outputs of both networks for everything that `requires` names; a tenth of the labels is ignored."""
    generator = torch.Generator().manual_seed(seed)

    def grid(stride: int) -> tuple[int, ...]:
        return tuple(-(-edge // stride) for edge in size) if stride else ()

    def normal(channels: int, stride: int) -> Tensor:
        return torch.randn(images, channels, *grid(stride), generator=generator, dtype=torch.float64).to(dtype)

    def sigma(info: ModelInfo, request: SigmaRequest) -> Tensor:
        shape = size if request.grid == "label" and info.stride else grid(info.stride)
        return torch.rand(images, CLASSES, *shape, generator=generator, dtype=torch.float64).to(dtype) / 3

    def output(info: ModelInfo, taps: frozenset[str], requests: frozenset[SigmaRequest], auxiliary: int) -> ModelOutput:
        return ModelOutput(
            normal(CLASSES, info.stride),
            {tap: normal(info.taps[tap].channels, info.taps[tap].stride) for tap in sorted(taps)},
            tuple(normal(CLASSES, info.stride) for _ in range(auxiliary)),
            {request: sigma(info, request) for request in requests},
        )

    student = output(pair.student, requires.student_taps, requires.student_sigma, 1)
    for tensor in named_tensors(student).values():
        tensor.requires_grad_()
    teacher = output(pair.teacher, requires.teacher_taps, requires.teacher_sigma, 0)
    shape = () if pair.vector else size
    label = torch.randint(CLASSES, (images, *shape), generator=generator)
    if not pair.vector:
        label[torch.rand(label.shape, generator=generator) < 0.1] = 255
    image = torch.rand(images, 3, *size, generator=generator)
    return Scene(student, teacher, Batch(image, label=label, step=seed, ids=("a.png", "b.png")[:images]))


def perturbed_last_row(output: ModelOutput, *, seed: int) -> ModelOutput:
    """The same output with other values in the last row of every map, as fresh leaves."""
    generator = torch.Generator().manual_seed(seed)

    def perturb(values: Tensor) -> Tensor:
        copy = values.detach().clone()
        copy[..., -1, :] += 3 * torch.randn(copy[..., -1, :].shape, generator=generator)
        return copy.requires_grad_(values.requires_grad)

    return ModelOutput(
        perturb(output.logits),
        {tap: perturb(feature) for tap, feature in output.features.items()},
        tuple(perturb(logits) for logits in output.auxiliary),
        output.sigma,
    )
