"""The weighted sum of squared differences of two maps, of which only the difference is held.

L = sum over valid i of sum_c w[c, i] d[c, i]^2,  d = P (z_S - z_T)
dL/dz_S = 2 P (w d)

Symbols: z values (b c *grid), w a weight without gradient that broadcasts to z; P takes the mean over c away where
`centred`, and is the identity where not.
Source: none; the order of work is ours. The weighted difference becomes the gradient in place.
Cost: a map of the student's size, a second one where there is a weight.
"""

from typing import Any, Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# Terms of one dot product: the rounding of a longer one in float32 would show.
LONGEST_DOT: Final = 2**19


def squared_difference_sum(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    *,
    weight: Float[Tensor, "..."] | None = None,
    valid: Bool[Tensor, "b *grid"] | None = None,
    centred: bool = False,
) -> Float[Tensor, ""]:
    """The sum; zero with a graph where nothing is valid.

    Args:
        student: values.
        teacher: values, without gradient.
        weight: broadcasts to the values; None for one.
        valid: positions that count; None for all.
        centred: compare the deviations from the mean over c.

    >>> squared_difference_sum(torch.tensor([[3.0, 1.0]]), torch.zeros(1, 2), weight=torch.tensor(2.0)).item()
    20.0
    """
    total: Tensor = _SquaredDifferenceSum.apply(student, teacher.detach(), weight, valid, centred)
    return total


class _SquaredDifferenceSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, weight: Tensor | None, valid: Tensor | None, centred: bool
    ) -> Tensor:
        difference = _difference(student, teacher, valid, centred)
        weighted = difference if weight is None else difference * weight
        ctx.save_for_backward(student, teacher, weight, valid)
        ctx.centred = centred
        ctx.weighted = weighted
        flat = difference.reshape(-1)
        return _dot(flat if weight is None else weighted.reshape(-1), flat)

    @staticmethod
    @once_differentiable  # its stub makes `ctx` positional
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Any
    ) -> tuple[Tensor, None, None, None, None]:
        # A second pass over a kept graph makes anew what the first one turned into the gradient.
        slope, ctx.weighted = ctx.weighted, None
        if slope is None:
            student, teacher, weight, valid = ctx.saved_tensors
            slope = _difference(student, teacher, valid, ctx.centred) * (1 if weight is None else weight)
        slope *= 2 * grad_outputs[0]
        if ctx.centred:
            slope -= slope.mean(1, keepdim=True)
        return slope, None, None, None, None


def _difference(student: Tensor, teacher: Tensor, valid: Tensor | None, centred: bool) -> Tensor:
    difference = student - teacher
    if centred:
        difference -= difference.mean(1, keepdim=True)
    # where(), not a product: a NaN or an infinity at an ignored pixel must reach neither value nor gradient.
    return difference if valid is None else torch.where(valid.unsqueeze(1), difference, 0.0)


def _dot(left: Float[Tensor, " n"], right: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    if len(left) <= LONGEST_DOT:
        return torch.dot(left, right)
    parts = [torch.dot(*pair) for pair in zip(left.split(LONGEST_DOT), right.split(LONGEST_DOT), strict=True)]
    return torch.stack(parts).sum()
