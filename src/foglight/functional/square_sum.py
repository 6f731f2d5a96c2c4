"""The sum of squares over channels, without a map of squares.

a[i] = sum_c v[c, i]^2,  dL/dv[c, i] = 2 v[c, i] * dL/da[i]

Symbols: v values (b c *grid), a (b *grid).
Source: none; the order of work is ours. Channels are taken in strips that stay in the cache.
Cost: a strip of at most `upsampling.STRIP_BUDGET` bytes; the gradient's map.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from foglight.functional.row_budget import rows_within_budget
from foglight.functional.upsampling import STRIP_BUDGET


def square_sum(values: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b *grid"]:
    """Of every position, the squared length of the vector of its channels.

    >>> square_sum(torch.tensor([[[3.0, 0.0], [4.0, 1.0]]]))
    tensor([[25.,  1.]])
    """
    total: Tensor = _SquareSum.apply(values)
    return total


class _SquareSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        total = values.new_zeros((len(values), *values.shape[2:]))
        strip = rows_within_budget(
            total.numel(), bytes_per_number=values.element_size(), matrices=1, budget=STRIP_BUDGET
        )
        for channels in values.split(strip, 1):
            total += channels.square().sum(1)
        return total

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(ctx: Any, *grad_outputs: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (values,) = ctx.saved_tensors
        return values * (2 * grad_outputs[0]).unsqueeze(1)
