"""Pearson's correlation of two maps, over the classes of a position or the positions of a class, with its gradient.

a = first - mean first,  b = second - mean second,  rho = <a, b> / (|a| |b| + EPSILON)
d rho / d first = b / (|a| |b| + EPSILON) - rho |b| / (|a| (|a| |b| + EPSILON)) a

Symbols: first and second (b k *grid); means, products and norms over the classes of a position, or over the (valid)
positions of a class, in each image or in all.
Source: Pearson's coefficient with the published guard of Huang et al. 2022; the gradient is its derivative, without
that of the means, which is zero because a and b sum to zero.
Changed: nothing but the order of work. Strips are centred, squared and summed while they are in the cache; centred
first, because the moments of the values themselves would cancel in float32.
Cost: numbers per correlation are kept, and one map while the gradient is handed on; `upsampling.STRIP_BUDGET` bytes
or the positions of one class. The second map carries no gradient.
"""

from math import prod
from typing import Any, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from foglight.functional.row_budget import rows_within_budget
from foglight.functional.upsampling import STRIP_BUDGET

# Published: added to the product of norms; a class that is nearly absent is pulled towards no correlation.
EPSILON: Final = 1e-8
# Both maps, their deviations and a product.
MATRICES: Final = 5


def correlation_over_classes(
    first: Float[Tensor, "b k *grid"], second: Float[Tensor, "b k *grid"]
) -> Float[Tensor, "b *grid"]:
    """Of two probability maps, at every position; zero where either is even.

    >>> one, other = torch.tensor([[0.2, 0.3, 0.5]]), torch.tensor([[0.0, 0.2, 0.8]])
    >>> round(correlation_over_classes(one, other).item(), 3)
    0.996
    """
    # Probabilities sum to one, so their mean is known.
    found: Tensor = _Correlation.apply(first, second.detach(), None, (1,), 1 / first.shape[1])
    return found.reshape(len(first), *first.shape[2:])


def correlation_over_positions(
    first: Float[Tensor, "b k *grid"],
    second: Float[Tensor, "b k *grid"],
    valid: Bool[Tensor, "b *grid"] | None = None,
    *,
    per_image: bool = False,
) -> Float[Tensor, "images k"]:
    """Of every class, in each image or in all of them as one; zero where either map is constant.

    Args:
        first: the map that is trained.
        second: without gradient.
        valid: positions that count; None for all.
        per_image: one correlation per image and class instead of one per class.
    """
    found: Tensor = _Correlation.apply(first, second.detach(), valid, (2,) if per_image else (0, 2), None)
    return found.squeeze(2)


def correlation_and_slopes(
    first: Float[Tensor, "b k n"],
    second: Float[Tensor, "b k n"],
    valid: Bool[Tensor, "b 1 n"] | None,
    dims: tuple[int, ...],
    mean: float | None,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "4 ..."]]:
    """The correlation over `dims`, and (u, v, mean first, mean second) of its derivative u * a + v * b."""
    means = [_mean(values, valid, dims) if mean is None else values.new_tensor(mean) for values in (first, second)]
    a, b = (values - centre for values, centre in zip((first, second), means, strict=True))
    if valid is not None:
        a, b = torch.where(valid, a, 0.0), torch.where(valid, b, 0.0)
    product = (a * b).sum(dims, keepdim=True)
    # The root of zero has no derivative; below the smallest normal number the norm counts as constant.
    tiny = torch.finfo(first.dtype).tiny
    squares = a.square_().sum(dims, keepdim=True)
    norm, other = (each.clamp(min=tiny).sqrt() for each in (squares, b.square_().sum(dims, keepdim=True)))
    v = 1 / (norm * other + EPSILON)
    rho = product * v
    u = torch.where(squares >= tiny, -rho * v * other / norm, 0.0)
    return rho, torch.stack((u, v, *(centre.expand_as(u) for centre in means)))


def _mean(values: Float[Tensor, "b k n"], valid: Bool[Tensor, "b 1 n"] | None, dims: tuple[int, ...]) -> Tensor:
    if valid is None:
        return values.mean(dims, keepdim=True)
    return torch.where(valid, values, 0.0).sum(dims, keepdim=True) / valid.sum(dims, keepdim=True).clamp(min=1)


class _Correlation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, first: Tensor, second: Tensor, valid: Tensor | None, dims: tuple[int, ...], mean: float | None
    ) -> Tensor:
        maps, inside = _flat(first, second), None if valid is None else valid.reshape(len(valid), 1, -1)
        # Strips lie across the correlations, each of which is whole.
        across = 2 if dims == (1,) else 1
        numbers = maps[0].numel() // max(1, maps[0].shape[across])
        ctx.strip = rows_within_budget(
            numbers, bytes_per_number=first.element_size(), matrices=MATRICES, budget=STRIP_BUDGET
        )
        ctx.across = across
        found = [
            correlation_and_slopes(ours, theirs, inside, dims, mean)
            for ours, theirs in zip(*(each.split(ctx.strip, across) for each in maps), strict=True)
        ]
        ctx.save_for_backward(first, second, inside, torch.cat([slopes for _, slopes in found], across + 1))
        return torch.cat([rho for rho, _ in found], across)

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor, None, None, None, None]:
        first, second, inside, slopes = ctx.saved_tensors
        gradient = torch.empty(first.shape, dtype=first.dtype, device=first.device)
        parts = (*_flat(first, second), _flat(gradient)[0])
        for ours, theirs, filled, (u, v, mean, other), factor in zip(
            *(each.split(ctx.strip, ctx.across) for each in parts),
            slopes.split(ctx.strip, ctx.across + 1),
            grad_outputs[0].split(ctx.strip, ctx.across),
            strict=True,
        ):
            torch.sub(ours, mean, out=filled).mul_(u * factor).addcmul_(theirs - other, v * factor)
            if inside is not None:
                filled.masked_fill_(~inside, 0.0)
        return gradient, None, None, None, None


def _flat(*maps: Float[Tensor, "b k *grid"]) -> list[Float[Tensor, "b k n"]]:
    return [each.reshape(*each.shape[:2], prod(each.shape[2:])) for each in maps]
