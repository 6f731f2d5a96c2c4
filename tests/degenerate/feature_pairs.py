"""Two networks that say nothing but one feature each."""

import torch
from torch import Tensor

from foglight.losses.base import DistillationLoss
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

TAP = "head"


def info(channels: int, *, stride: int = 8) -> ModelInfo:
    return ModelInfo(3, stride, {TAP: TapInfo(channels, stride)})


def feature(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def said(values: Tensor) -> ModelOutput:
    return ModelOutput(torch.zeros(len(values), 3, dtype=values.dtype), {TAP: values})


def batch(images: int, label: Tensor | None = None) -> Batch:
    return Batch(torch.zeros(images, 3, 8, 8), label=label)


def terms(loss: DistillationLoss, student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    return loss(said(student), said(teacher), batch(len(student)))


def total(loss: DistillationLoss, student: Tensor, teacher: Tensor) -> Tensor:
    return torch.stack(list(terms(loss, student, teacher).values())).sum()
