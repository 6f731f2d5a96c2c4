"""Pooling of maps in square cells, of which only some positions count.

average: p[cell] = sum over valid i of x[i] / number of valid i        maximum: p[cell] = max over valid i of x[i]

Symbols: x a map (b c h w), cells of `kernel` positions that do not overlap; the last ones are cut off at the edge, so
that the pooled map has ceil(h / kernel) rows. A cell without a valid position is zero and itself not valid.
Source: torch's pooling with `ceil_mode`, as SKD, DSD and CIRKD use it.
Changed: the mask; without one this is torch's.
Cost: one copy of x where there is a mask.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

Kernel = int | tuple[int, int]


def average_pool(
    values: Float[Tensor, "b c h w"], *, kernel: Kernel, valid: Bool[Tensor, "b h w"] | None = None
) -> tuple[Float[Tensor, "b c rows columns"], Bool[Tensor, "b rows columns"]]:
    """The mean of every cell over its valid positions, and which cells have one.

    >>> values, valid = torch.tensor([[[[1.0, 3.0, 5.0]]]]), torch.tensor([[[True, False, True]]])
    >>> average_pool(values, kernel=(1, 2), valid=valid)[0]
    tensor([[[[1., 5.]]]])
    """
    if valid is None:
        pooled = F.avg_pool2d(values, kernel, ceil_mode=True)
        return pooled, _everywhere(pooled)
    inside = valid.unsqueeze(1)
    share = F.avg_pool2d(inside.to(values.dtype), kernel, ceil_mode=True)
    pooled = F.avg_pool2d(torch.where(inside, values, 0.0), kernel, ceil_mode=True)
    kept = share > 0
    return pooled / torch.where(kept, share, 1.0), kept.squeeze(1)


def maximum_pool(
    values: Float[Tensor, "b c h w"], *, kernel: Kernel, valid: Bool[Tensor, "b h w"] | None = None
) -> tuple[Float[Tensor, "b c rows columns"], Bool[Tensor, "b rows columns"]]:
    """The largest valid value of every cell and channel, and which cells have one."""
    if valid is None:
        pooled = F.max_pool2d(values, kernel, ceil_mode=True)
        return pooled, _everywhere(pooled)
    inside = valid.unsqueeze(1)
    kept = F.max_pool2d(inside.to(values.dtype), kernel, ceil_mode=True) > 0
    pooled = F.max_pool2d(values.masked_fill(~inside, torch.finfo(values.dtype).min), kernel, ceil_mode=True)
    return torch.where(kept, pooled, 0.0), kept.squeeze(1)


def _everywhere(pooled: Float[Tensor, "b c rows columns"]) -> Bool[Tensor, "b rows columns"]:
    return torch.ones((len(pooled), *pooled.shape[2:]), dtype=torch.bool, device=pooled.device)
