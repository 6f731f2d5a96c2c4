"""What `losses.py` compares: every registered loss at its defaults, and the cases with promises of their own.

A case is a loss (or a function of two) at a size, its naive form, and how much faster and leaner it is promised to be.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final, Literal

import torch
from naive import NAIVE
from torch import Tensor, nn

from foglight.functional.upsampled_cross_entropy_kl import upsampled_cross_entropy_and_kl
from foglight.losses.base import DistillationLoss, TeacherAdapted
from foglight.losses.registry import build_loss, loss_names
from foglight.types import Batch, ModelInfo, ModelOutput, Requires, TapInfo, union

Form = Literal["ours", "naive"]
TAPS: Final = ("layer4", "head")


@dataclass(frozen=True)
class Sizes:
    """Of a scene.

    Attributes:
        image: rows and columns.
        student: channels of its features.
        teacher: channels of its features.
        classes: k.
        images: b.
        stride: of features, and of logits unless a case has them at full size.
    """

    image: tuple[int, int] = (512, 1024)
    student: int = 512
    teacher: int = 2048
    classes: int = 19
    images: int = 2
    stride: int = 8


QUICK: Final = Sizes(image=(128, 192), student=16, teacher=32, classes=5)


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: of the row.
        losses: by name in the registry; several are summed. None is the fused function.
        naive: name of the naive form.
        options: of each loss.
        full_logits: logits on the label's grid.
        equal_channels: the teacher's features are as wide as the student's.
        sizes: where a case has its own, which replace those that are asked for but for `QUICK`.
        naive_fits: whether the naive form is run at full size.
        faster: at least so many times, as the issue asks.
        leaner: likewise.
        note: why the case is as it is.
    """

    name: str
    losses: tuple[str, ...] | None
    naive: str
    options: Mapping[str, Any] = field(default_factory=dict)
    full_logits: bool = False
    equal_channels: bool = False
    sizes: Sizes | None = None
    naive_fits: bool = True
    faster: float = 1 / 1.05
    leaner: float = 0.0
    note: str = ""


_WIDE = "equal channels: 3x3 convolutions between 2048 channels would be all that is timed"
# What a registered loss needs beyond its defaults, or is promised.
_SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "af_dcd": {"equal_channels": True, "note": _WIDE},
    "arfd": {"options": {"tap": "layer4"}},
    "cirkd_memory": {
        "options": {"legacy_unfilled": True},
        "equal_channels": True,
        "faster": 1.7,
        "leaner": 4.0,
        "note": "equal channels, full queues",
    },
    "cirkd_channel": {"options": {"legacy_unfilled": True}},
    "cirkd_minibatch": {"leaner": 5.0},
    "diffkd": {"options": {"autoencoder": True}},
    "ft": {"equal_channels": True, "note": _WIDE},
    "ifvd": {"faster": 20.0, "leaner": 8.0},
    "maskd": {"options": {"allow_random_tokens": True}},
    "mgd": {"equal_channels": True, "note": _WIDE},
    "nst": {"naive_fits": False, "note": "the naive form holds b*c*c*h*w numbers: 280 GB"},
    "rkd": {"options": {"points": "grid"}, "note": "cells of a grid: two images have one distance"},
}
_SMALL = Sizes(image=(256, 512), student=64, teacher=64)
_OWN: Final = (
    Case("nst, 64x32x64", ("nst",), "nst", sizes=_SMALL, faster=20.0),
    *(Case(f"{name}, full", (name,), name, full_logits=True, faster=1.8) for name in ("kd", "cwd", "dkd", "dist")),
    Case("cross_entropy + kd", None, "cross_entropy_and_kl", faster=3.0, leaner=10.0, note="the fused function"),
    Case(
        "cross_entropy + kd, two losses",
        ("cross_entropy", "kd"),
        "cross_entropy_and_kl",
        options={"kd": {"grid": "label"}},
        faster=0.0,
        note="each upsamples by itself; nothing is promised",
    ),
)


def cases() -> list[Case]:
    """Every registered loss, then the others."""
    registered = []
    for name in loss_names():
        settings = dict(_SETTINGS.get(name, {}))
        options = {name: settings.pop("options", {})}
        registered.append(Case(name, (name,), name, options=options, **settings))
    return [*registered, *_OWN]


class Fused(nn.Module):
    """The fused function as if it were a loss."""

    requires = Requires(teacher=True, label=True)

    def forward(self, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Both terms."""
        assert batch.label is not None
        terms = upsampled_cross_entropy_and_kl(
            student.logits,
            teacher.logits,
            batch.label,
            ignore_index=batch.ignore_index,
            align_corners=(False, False),
        )
        return dict(zip(("ce", "kd"), terms, strict=True))


class Sum(nn.Module):
    """Several losses, each by itself."""

    def __init__(self, losses: list[DistillationLoss]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.requires = union([loss.requires for loss in losses])

    def forward(self, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """The terms of all."""
        return {name: term for loss in self.losses for name, term in loss(student, teacher, batch).items()}


@dataclass(frozen=True)
class Scene:
    """A loss and what it is given.

    Attributes:
        loss: ours.
        naive: the textbook form, None where there is none.
        student: leaves that ask for a gradient.
        teacher: without.
        batch: a tenth of the labels is ignored.
    """

    loss: nn.Module
    naive: Callable[..., Tensor] | None
    student: ModelOutput
    teacher: ModelOutput
    batch: Batch

    def leaves(self) -> list[Tensor]:
        """What gets a gradient, and what is frozen in the loss."""
        return [self.student.logits, *self.student.features.values(), *self.loss.parameters()]

    def value(self, form: Form) -> Tensor:
        """The sum of the terms, of either form."""
        if form == "naive":
            assert self.naive is not None
            return self.naive(self.loss, self.student, self.teacher, self.batch)
        return reduce(torch.add, self.loss(self.student, self.teacher, self.batch).values())

    def step(self, form: Form) -> Callable[[], None]:
        """Forward and backward, on a copy of the loss with buffers and gradients of its own."""
        scene = replace(self, loss=deepcopy(self.loss))

        def run() -> None:
            for leaf in scene.leaves():
                leaf.grad = None
            scene.value(form).backward()

        return run


def make_scene(case: Case, sizes: Sizes, *, dtype: torch.dtype, device: torch.device, seed: int = 0) -> Scene:
    """The case at that size, with random outputs; a case's own size goes before any but `QUICK`."""
    sizes = sizes if sizes == QUICK else case.sizes or sizes
    channels = (sizes.student, sizes.student if case.equal_channels else sizes.teacher)
    infos = [_info(sizes, width, 1 if case.full_logits else sizes.stride) for width in channels]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loss = _build(case, *infos).to(device, dtype)
    generator = torch.Generator().manual_seed(seed)

    def normal(channels: int, stride: int) -> Tensor:
        shape = (sizes.images, channels, *(side // stride for side in sizes.image))
        return torch.randn(shape, generator=generator).to(device, dtype)

    def output(info: ModelInfo, taps: frozenset[str]) -> ModelOutput:
        features = {tap: normal(info.tap(tap).channels, sizes.stride) for tap in sorted(taps)}
        return ModelOutput(2 * normal(sizes.classes, info.stride), features)

    assert isinstance(loss.requires, Requires)
    student = output(infos[0], loss.requires.student_taps)
    for leaf in (student.logits, *student.features.values()):
        leaf.requires_grad_()
    label = torch.randint(sizes.classes, (sizes.images, *sizes.image), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.1] = 255
    image = torch.zeros(sizes.images, 3, 1, 1).expand(-1, -1, *sizes.image)
    batch = Batch(image, label=label, progress=0.5).to(device)
    return Scene(loss, NAIVE.get(case.naive), student, output(infos[1], loss.requires.teacher_taps), batch)


def _info(sizes: Sizes, channels: int, stride: int) -> ModelInfo:
    affine = torch.ones(channels), torch.zeros(channels)
    tap = TapInfo(channels, sizes.stride, closing_batch_norm=affine)
    return ModelInfo(sizes.classes, stride, dict.fromkeys(TAPS, tap))


def _build(case: Case, student: ModelInfo, teacher: ModelInfo) -> nn.Module:
    if case.losses is None:
        return Fused()
    losses = [build_loss(name, student, teacher, case.options.get(name, {})) for name in case.losses]
    for loss in losses:
        if isinstance(loss, TeacherAdapted):
            loss.adapt_modules.requires_grad_(False)
    return losses[0] if len(losses) == 1 else Sum(losses)
