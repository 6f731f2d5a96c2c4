r"""The temperature under which logits have the smallest negative log-likelihood (NLL).

    NLL(u)   = sum_i logsumexp_c(u z_ic) - u z_iy,        u = 1 / T
    NLL'(u)  = sum_i E_q[z_i] - z_iy,                     q_i = softmax(u z_i)
    NLL''(u) = sum_i Var_q[z_i] >= 0

The NLL is convex in u, so its minimum is where the slope changes sign: Newton's steps, and a bisection of the bracket
(in the logarithm of u) wherever a step would leave it. Groups of pixels, each with a temperature of its own, are
searched side by side.

Symbols: z_i logits of pixel i (or log-probabilities: a constant per pixel changes nothing), y its label, T temperature.
Source: Guo et al. 2017, section 4.2 (one temperature). Changed: minimised in 1/T, where it is convex, over all pixels.
Cost: one softmax per pixel and u asked for; five to eight passes in all.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

# A best temperature outside says that the logits are no logits of these labels, or that there is nothing left to fit.
LOWEST: Final = 0.05
HIGHEST: Final = 20.0
# Relative, of the last step. Newton's steps shrink quadratically, so what is left is far smaller.
TOLERANCE: Final = 1e-5
_MOST_STEPS: Final = 100


class Likelihood(NamedTuple):
    """NLL and its derivatives by the inverse temperature, summed over pixels; those of other pixels add up.

    Attributes:
        nll: in nats.
        slope: first derivative.
        curvature: second derivative.
    """

    nll: Float64[Tensor, "*points"]
    slope: Float64[Tensor, "*points"]
    curvature: Float64[Tensor, "*points"]


class BestInverse(NamedTuple):
    """Where the NLL is smallest.

    Attributes:
        inverse: 1 / T by group.
        found: whether the minimum lies between the limits; where it does not, `inverse` is 1.
    """

    inverse: Float64[Tensor, " groups"]
    found: Bool[Tensor, " groups"]


def likelihood(
    logits: Float[Tensor, "n k"],
    label: Int64[Tensor, " n"],
    group: Int64[Tensor, " n"],
    inverse: Float64[Tensor, "points groups"],
) -> Likelihood:
    """Sums by group at several inverse temperatures.

    >>> logits, label = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0])
    >>> sums = likelihood(logits, label, torch.tensor([0, 0]), torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    >>> [round(float(nll), 4) for nll in sums.nll]  # without any slope, log 2 per pixel
    [1.3863, 2.2539]
    """
    at_label = logits.gather(1, label.unsqueeze(1)).squeeze(1)
    sums = torch.zeros((3, *inverse.shape), dtype=torch.float64, device=logits.device)
    for point, values in enumerate(inverse.to(logits.device, logits.dtype)):
        scale = values[group]
        log_probability = (logits * scale.unsqueeze(1)).log_softmax(1)
        probability = log_probability.exp()
        mean = (probability * logits).sum(1)
        variance = (probability * (logits - mean.unsqueeze(1)).square()).sum(1)
        nll = -log_probability.gather(1, label.unsqueeze(1)).squeeze(1)
        for row, pixels in enumerate((nll, mean - at_label, variance)):
            sums[row, point].scatter_add_(0, group, pixels.double())
    return Likelihood(*sums.cpu())


def best_inverse(
    total: Callable[[Float64[Tensor, "points groups"]], Likelihood],
    *,
    groups: int = 1,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    tolerance: float = TOLERANCE,
) -> BestInverse:
    """Search the inverse temperature of each group.

    Args:
        total: one pass over all pixels: the sums at the inverse temperatures it is given.
        groups: how many of them.
        lowest: temperature that may be found.
        highest: temperature that may be found.
        tolerance: relative, of 1 / T.

    Raises:
        ValueError: if the limits do not include 1.
    """
    if not 0 < lowest < 1 < highest:
        raise ValueError(f"expected 0 < lowest < 1 < highest, got {lowest} and {highest}")
    here = torch.ones(groups, dtype=torch.float64)
    lower, upper = here / highest, here / lowest
    ends = total(torch.stack([lower, here, upper]))
    found = (ends.slope[0] < 0) & (ends.slope[2] > 0)
    now, settled = Likelihood(*(values[1] for values in ends)), ~found
    for _ in range(_MOST_STEPS):
        rising = now.slope > 0
        lower, upper = torch.where(rising, lower, here), torch.where(rising, here, upper)
        step = here - now.slope / now.curvature
        inside = (step > lower) & (step < upper)
        there = torch.where(inside, step, (lower * upper).sqrt())
        there = torch.where(settled | (now.slope == 0), here, there)
        settled = settled | ((there - here).abs() <= tolerance * here)
        here = there
        if bool(settled.all()):
            break
        now = Likelihood(*(values[0] for values in total(here.unsqueeze(0))))
    return BestInverse(here, found)
