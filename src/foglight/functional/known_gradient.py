"""Numbers whose gradient is made along with them, while what both need is at hand.

What goes back to z is g * slope, slope = dL/dz

Symbols: L the number, z values of any shape, g the gradient that arrives at L.
Source: none; this is the chain rule.
Cost: one map of the size of z, held from the forward pass on. `with_gradient` makes a second one, the gradient;
`with_measured_gradient` turns the first into the gradient, holds what was measured, and measures again in a second
backward pass over a kept graph.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def with_gradient(
    values: Float[Tensor, "*batch_and_shape"], number: Float[Tensor, "*batch"], slope: Float[Tensor, "*batch_and_shape"]
) -> Float[Tensor, "*batch"]:
    """The number, with the slope as its gradient by the values.

    Args:
        values: what the number is differentiated by.
        number: made of them without a graph, one or one for each of the leading axes.
        slope: likewise, of each number by its own values.

    >>> leaf = torch.tensor([3.0], requires_grad=True)
    >>> with_gradient(leaf, torch.tensor(9.0), torch.tensor([6.0])).backward()
    >>> leaf.grad
    tensor([6.])
    """
    attached: Tensor = _WithGradient.apply(values, number, slope)
    return attached


def with_measured_gradient(
    measure: Callable[..., tuple[Tensor, Tensor]],
    values: Float[Tensor, "*shape"],
    *others: Float[Tensor, "..."] | Bool[Tensor, "..."] | None,
) -> Float[Tensor, ""]:
    """The number that `measure(values, *others)` gives, with the slope that it gives beside it as its gradient.

    Args:
        measure: number and slope; the slope shares its memory with nothing, for it is written over.
        values: what the number is differentiated by.
        others: what else is read, without gradient.

    >>> leaf = torch.tensor([3.0], requires_grad=True)
    >>> with_measured_gradient(lambda values: (values.square().sum(), 2 * values), leaf).backward()
    >>> leaf.grad
    tensor([6.])
    """
    number: Tensor = _WithMeasuredGradient.apply(measure, values, *others)
    return number


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, number: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return number.clone()

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor, None, None]:
        (slope,), (given,) = ctx.saved_tensors, grad_outputs
        return slope * given.reshape(*given.shape, *(1 for _ in slope.shape[given.ndim :])), None, None


class _WithMeasuredGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, measure: Callable[..., tuple[Tensor, Tensor]], *tensors: Tensor | None) -> Tensor:
        number, ctx.slope = measure(*tensors)
        ctx.measure = measure
        ctx.save_for_backward(*tensors)
        return number

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor | None, ...]:
        (given,) = grad_outputs
        # The first pass over a graph has made the slope its gradient.
        slope, ctx.slope = ctx.slope, None
        if slope is None:
            # Whoever asks again may do so under autocast, which would measure in half precision.
            with torch.autocast(given.device.type, enabled=False):
                _, slope = ctx.measure(*ctx.saved_tensors)
        return None, slope.mul_(given), *(None for _ in ctx.needs_input_grad[2:])
