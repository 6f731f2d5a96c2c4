r"""Does a score rank the errors first? AURC and error AUROC of any uncertainty, from one fixed histogram.

With pixels in ascending uncertainty u, wrong_i in {0, 1}:

    AURC = (1/N) sum_i (1/i) sum_{j <= i} wrong_j      the mean error of what is kept, over all coverages
    AUROC = P(u_wrong > u_right) + P(u_wrong = u_right) / 2

Only counts of right and wrong pixels in 4096 cells are stored. Pixels of one cell count as tied: half a win each for
the AUROC (the trapezoid), and the expectation over their random order for the AURC, in closed form with the digamma
function: a cell of n pixels, r of them wrong per pixel, after C pixels with E errors adds
r n + (E - r C) (digamma(C + n + 1) - digamma(C + 1)).
Uncertainties crowd at 0, so cells are equal in the fourth root of the score; ranks do not change under it.

Symbols: N pixels; u in any range (low, high), clamped to it; NaN where undefined (AUROC without, or with only, errors).
Source: Geifman and El-Yaniv 2017 (AURC); Hendrycks and Gimpel 2017 (error AUROC).
Error of the AUROC: at most half the share of (wrong, right) pairs that fall in one cell.
Cost: two `bincount` over the pixels, 8192 numbers per score.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

CELLS: Final = 4096
UNIT_RANGE: Final = (0.0, 1.0)


def error_histogram(
    uncertainty: Float[Tensor, "*grid"],
    wrong: Bool[Tensor, "*grid"],
    *,
    limits: tuple[float, float] = UNIT_RANGE,
) -> Int64[Tensor, "2 4096"]:
    """Right and wrong pixels by cell, in ascending uncertainty; sums over batches are the data set's.

    A confidence is handed in as its negative, with its limits negated too.

    Raises:
        ValueError: if a value is NaN.
    """
    if bool(uncertainty.isnan().any()):
        raise ValueError("expected an uncertainty without NaN")
    low, high = limits
    unit = ((uncertainty.double() - low) / (high - low)).clamp(0, 1)
    cell = (unit.sqrt().sqrt() * CELLS).long().clamp_max_(CELLS - 1)
    return torch.stack([torch.bincount(cell[~wrong], minlength=CELLS), torch.bincount(cell[wrong], minlength=CELLS)])


def area_under_risk_coverage(histogram: Int64[Tensor, "2 cells"]) -> Float64[Tensor, ""]:
    """AURC: 0 without errors, the error rate for a score that says nothing, NaN without pixels.

    >>> area_under_risk_coverage(torch.tensor([[3], [1]]))
    tensor(0.2500, dtype=torch.float64)
    """
    # Empty cells add nothing, but their rate of errors is 0 / 0.
    filled = histogram[:, histogram.sum(0) > 0].double()
    pixels, errors = filled.sum(0), filled[1]
    pixels_before, errors_before = pixels.cumsum(0) - pixels, errors.cumsum(0) - errors
    rate = errors / pixels
    harmonic = torch.special.digamma(pixels_before + pixels + 1) - torch.special.digamma(pixels_before + 1)
    return (errors + (errors_before - rate * pixels_before) * harmonic).sum() / histogram.sum()


def error_auroc(histogram: Int64[Tensor, "2 cells"]) -> Float64[Tensor, ""]:
    """The probability that a wrong pixel is less certain than a right one.

    >>> error_auroc(torch.tensor([[5, 0], [0, 2]]))
    tensor(1., dtype=torch.float64)
    """
    right, wrong = histogram.double()
    right_before = right.cumsum(0) - right
    return (wrong * (right_before + right / 2)).sum() / (right.sum() * wrong.sum())
