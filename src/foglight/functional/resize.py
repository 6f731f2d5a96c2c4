"""The one way in which maps change their grid: bilinear for values, nearest for labels.

With scale = (h - 1)/(H - 1) when corners are aligned, position i of the new grid reads position i*scale of the old one;
otherwise scale = h/H and it reads (i + 1/2)*scale - 1/2. A label at row i is the old one at row floor(i*h/H).

Shapes: b batch, c channels, *grid the old grid, *size the new one; a grid of no axes is a vector (classification).
Source: the bilinear form is torch's; the label's is the classic `nearest` that CIRKD and IFVD use, here in exact
integer arithmetic instead of float32 scales.
Cost: one map of the new size.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def resize(
    values: Float[Tensor, "b c *grid"], size: Sequence[int], *, align_corners: bool
) -> Float[Tensor, "b c *size"]:
    """Bilinear; the very same tensor when the grid is that already, and for a vector.

    Args:
        values: any map of real numbers.
        size: rows and columns, or nothing for a vector.
        align_corners: a property of the network whose logits these are; False for features.

    Raises:
        ValueError: if a vector is asked for a grid, or a grid for a vector.

    >>> resize(torch.tensor([[[[0.0, 2.0]]]]), (1, 3), align_corners=True)
    tensor([[[[0., 1., 2.]]]])
    """
    if tuple(values.shape[2:]) == tuple(size):
        return values
    if len(size) != 2 or values.ndim != 4:
        raise ValueError(
            f"expected a map and a size of two axes each, got grid {tuple(values.shape[2:])} and size {tuple(size)}; "
            "logits of classification go with labels of shape (batch,)"
        )
    return F.interpolate(values, tuple(size), mode="bilinear", align_corners=align_corners)


def resize_label(
    label: Int[Tensor, "b *grid"] | Bool[Tensor, "b *grid"], size: Sequence[int]
) -> Int[Tensor, "b *size"] | Bool[Tensor, "b *size"]:
    """Nearest neighbour, for class indices and masks.

    Raises:
        ValueError: if a vector is asked for a grid, or a grid for a vector.

    >>> resize_label(torch.tensor([[[1, 2, 3, 4]]]), (1, 2))
    tensor([[[1, 3]]])
    """
    if tuple(label.shape[1:]) == tuple(size):
        return label
    if len(size) != 2 or label.ndim != 3:
        raise ValueError(f"expected a label and a size of two axes each, got {tuple(label.shape)} and {tuple(size)}")
    row, column = (
        torch.arange(new, device=label.device) * old // new for new, old in zip(size, label.shape[1:], strict=True)
    )
    return label[:, row[:, None], column]
