"""The weighted sum of squared differences of two maps, of which only the difference is held.

L = sum over valid i of sum_c w[c, i] d[c, i]^2,  d = P (z_S - z_T)
dL/dz_S = 2 P (w d)

Symbols: z values (b c *grid), w a weight without gradient that broadcasts to z; P takes the mean over c away where
`centred`, and is the identity where not.
Source: none; the order of work is ours. The weighted difference becomes the gradient, see `known_gradient`.
Cost: a map of the student's size, a second one where there is a weight.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.known_gradient import with_measured_gradient
from foglight.functional.long_dot import long_dot


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
    measure = partial(_half_and_slope, centred=centred)
    return 2 * with_measured_gradient(measure, student, teacher.detach(), weight, valid)


def _half_and_slope(
    student: Float[Tensor, "b c *grid"],
    teacher: Float[Tensor, "b c *grid"],
    weight: Float[Tensor, "..."] | None,
    valid: Bool[Tensor, "b *grid"] | None,
    *,
    centred: bool,
) -> tuple[Float[Tensor, ""], Float[Tensor, "b c *grid"]]:
    """Half the sum, whose slope is the weighted difference itself."""
    difference = student - teacher
    if centred:
        difference -= difference.mean(1, keepdim=True)
    if valid is not None:
        # where(), not a product: a NaN or an infinity at an ignored pixel must reach neither value nor gradient.
        difference = torch.where(valid.unsqueeze(1), difference, 0.0)
    slope = difference if weight is None else difference * weight
    half = long_dot(slope.reshape(-1), difference.reshape(-1)) / 2
    if centred and weight is not None:
        slope -= slope.mean(1, keepdim=True)
    return half, slope
