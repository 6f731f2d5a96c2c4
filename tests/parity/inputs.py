"""Stored arrays dressed up as what networks say and what a batch holds."""

from collections.abc import Mapping

import torch
from torch import Tensor

from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo


def info(logits: Tensor, features: Mapping[str, Tensor] | None = None, *, align_corners: bool = True) -> ModelInfo:
    """What a network with these logits and features is."""
    taps = {name: TapInfo(feature.shape[1], 8) for name, feature in (features or {}).items()}
    return ModelInfo(logits.shape[1], 8 if logits.ndim > 2 else 0, taps, align_corners=align_corners)


def output(
    logits: Tensor, features: Mapping[str, Tensor] | None = None, *, auxiliary: tuple[Tensor, ...] = ()
) -> ModelOutput:
    return ModelOutput(logits, features or {}, auxiliary)


def batch(
    images: int, *, label: Tensor | None = None, ignore_index: int = 255, size: tuple[int, int] = (8, 8)
) -> Batch:
    """A batch whose picture does not matter; as large as the label where that has a grid."""
    grid = size if label is None or label.ndim == 1 else tuple(label.shape[1:])
    image = torch.zeros(images, 3, *grid, dtype=torch.float64)
    return Batch(image, label=label, labelled=torch.ones(images, dtype=torch.bool), ignore_index=ignore_index)
