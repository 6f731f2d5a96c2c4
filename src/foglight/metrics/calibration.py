r"""Calibration: is a prediction made with confidence p right in a share p of all cases?

Every calibration error here is computed from sums over bins of confidence, which is all that is ever stored:

    ECE = sum_b n_b / N * | hits_b / n_b - confidence_b / n_b | = sum_b | hits_b - confidence_b | / N

- top label: confidence max_c q_c, hit where the argmax is the label; equal-width bins [i/M, (i+1)/M), and 1.0 belongs
  to the last one.
- equal mass: bins that hold N/M pixels each, cut out of a histogram of 4096 cells that are equal in (1 - q)^(1/4), so
  that confidences near 1 stay apart. A cell that a cut goes through is shared in proportion: what happens inside a cell
  is not resolved.
- class-wise: one ECE per class over q_c and [label = c] of all pixels, then their mean over the k classes.

NLL = mean of -log q_label in nats; Brier = mean of sum_c (q_c - [label = c])^2, in [0, 2].

Symbols: n pixels, k classes, g groups, bins; counts int64, sums float64.
Source: Guo et al. 2017 (top label); Nixon et al. 2019 (equal mass); Kull et al. 2019 (class-wise).
Changed: torchmetrics 1.9 keeps every confidence and puts 1.0 into a bin of its own; here memory does not grow.
Cost: one scatter-add per kind of bin over n (class-wise: n k) values.
"""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

MASS_CELLS: Final = 4096


@final
@dataclass(frozen=True)
class BinSums:
    """What is known of each bin; two of them over different pixels add up.

    Attributes:
        count: pixels.
        hits: pixels whose prediction is right.
        confidence: sum of the confidences.
    """

    count: Int64[Tensor, "*bins"]
    hits: Int64[Tensor, "*bins"]
    confidence: Float64[Tensor, "*bins"]


def equal_width_bin(values: Float[Tensor, "*n"], bins: int) -> Int64[Tensor, "*n"]:
    """The bin of each value in [0, 1]; 1.0 falls in the last.

    >>> equal_width_bin(torch.tensor([0.0, 0.5, 1.0]), 10)
    tensor([0, 5, 9])
    """
    return (values * bins).long().clamp_(0, bins - 1)


def equal_mass_cell(confidence: Float[Tensor, "*n"]) -> Int64[Tensor, "*n"]:
    """The cell of the fine histogram, in ascending confidence."""
    return MASS_CELLS - 1 - equal_width_bin((1 - confidence).clamp_min(0).sqrt().sqrt(), MASS_CELLS)


def bin_sums(
    index: Int64[Tensor, " n"], hit: Bool[Tensor, " n"], confidence: Float[Tensor, " n"], *, bins: int
) -> BinSums:
    """Sums over the pixels of each bin."""
    # scatter_add_ in float64 rather than a weighted bincount, which has no deterministic form on a GPU.
    sums = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    return BinSums(
        torch.bincount(index, minlength=bins),
        torch.bincount(index[hit], minlength=bins),
        sums.scatter_add_(0, index, confidence.double()),
    )


def class_wise_sums(probability: Float[Tensor, "n k"], label: Int64[Tensor, " n"], *, bins: int) -> BinSums:
    """Sums by (class, bin) of that class's probability; a hit is a pixel whose label is the class."""
    classes = probability.shape[1]
    first = torch.arange(classes, device=probability.device) * bins
    index = equal_width_bin(probability, bins) + first
    at_label = index.gather(1, label.unsqueeze(1)).squeeze(1)
    sums = torch.zeros(classes * bins, dtype=torch.float64, device=probability.device)
    return BinSums(
        torch.bincount(index.flatten(), minlength=classes * bins).view(classes, bins),
        torch.bincount(at_label, minlength=classes * bins).view(classes, bins),
        sums.scatter_add_(0, index.flatten(), probability.flatten().double()).view(classes, bins),
    )


def merge_bins(sums: BinSums, bins: int) -> BinSums:
    """Fewer, wider bins along the last axis; their number must divide the present one."""

    def merge(values: Tensor) -> Tensor:
        return values.unflatten(-1, (bins, -1)).sum(-1)

    return BinSums(merge(sums.count), merge(sums.hits), merge(sums.confidence))


def expected_calibration_error(sums: BinSums) -> Float64[Tensor, "*groups"]:
    """ECE over the last axis, NaN where there is no pixel."""
    return (sums.hits - sums.confidence).abs().sum(-1) / sums.count.sum(-1)


def equal_mass_error(cells: BinSums, *, bins: int) -> Float64[Tensor, ""]:
    """ECE over `bins` bins of equal mass, NaN where there is no pixel."""
    mass = cells.count.cumsum(0).double()
    cuts = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=mass.device) * mass[-1]
    surplus = (cells.hits - cells.confidence).cumsum(0)
    return _interpolate(cuts, mass, surplus).diff().abs().sum() / mass[-1]


def _interpolate(at: Tensor, mass: Tensor, cumulated: Tensor) -> Tensor:
    """The cumulated sum up to each mass, linear inside a cell."""
    cell = torch.searchsorted(mass, at).clamp_max(len(mass) - 1)
    before_mass = torch.where(cell > 0, mass[cell - 1], 0.0)
    before = torch.where(cell > 0, cumulated[cell - 1], 0.0)
    width = mass[cell] - before_mass
    share = torch.where(width > 0, (at - before_mass) / width, 0.0)
    return before + share * (cumulated[cell] - before)


def negative_log_likelihood(log_probability: Float[Tensor, "n k"], label: Int[Tensor, " n"]) -> Float64[Tensor, ""]:
    """Sum over the pixels, in nats."""
    return -log_probability.gather(1, label.long().unsqueeze(1)).sum(dtype=torch.float64)


def brier_score(probability: Float[Tensor, "n k"], label: Int[Tensor, " n"]) -> Float64[Tensor, ""]:
    """Sum over the pixels of the squared distance to the one-hot label."""
    at_label = probability.gather(1, label.long().unsqueeze(1))
    return (probability.square().sum(1, keepdim=True) - 2 * at_label + 1).sum(dtype=torch.float64)
