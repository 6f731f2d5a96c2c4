"""Means, paired differences with Student's t-intervals, and the word that an interval allows.

    d_i  = first_i - second_i,  i = 1..n seeds           mean = (1/n) sum_i d_i
    low, high = mean -+ t(level, n - 1) * s / sqrt(n)     s = sample standard deviation of d (divides by n - 1)

t(level, v) solves P(|T_v| <= t) = level. For whole v this probability is a finite sum of powers of cos(atan(t /
sqrt(v))), so no special function is needed: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3
and 26.7.4.

The interval is about the seeds of one data set alone, and nominal: nothing is corrected for how many of them are made.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

LEVEL: Final = 0.95
# Half the width of the band in which two arms count as equivalent, as a fraction: 0.5 points of mIoU.
EQUIVALENCE: Final = 0.005
# Bisection halves the angle's interval each time: past the last bit of a double.
_HALVINGS: Final = 80

Verdict = Literal["gain", "loss", "equivalent", "undecided"]


@final
@dataclass(frozen=True)
class Spread:
    """A score over seeds.

    Attributes:
        mean: over seeds.
        sd: sample standard deviation; None for one seed.
        seeds: how many.
    """

    mean: float
    sd: float | None
    seeds: int


@final
@dataclass(frozen=True)
class Difference:
    """One arm minus another over the seeds that both have.

    Attributes:
        mean: over seeds.
        low: end of the interval; None for one seed, which has none.
        high: end of the interval.
        seeds: how many.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation.

    >>> spread([1.0, 2.0, 3.0])
    Spread(mean=2.0, sd=1.0, seeds=3)

    Raises:
        ValueError: without values.
    """
    if not values:
        raise ValueError("expected at least one value, got none")
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), sd, len(values))


def paired_difference(first: Sequence[float], second: Sequence[float], *, level: float = LEVEL) -> Difference:
    """The mean of first minus second, seed by seed, with its interval.

    >>> difference = paired_difference([3.0, 5.0, 7.0], [2.0, 3.0, 4.0])
    >>> f"{difference.mean:.2f} [{difference.low:.2f}, {difference.high:.2f}]"
    '2.00 [-0.48, 4.48]'

    Raises:
        ValueError: if the two are empty or of different length.
    """
    differences = [one - other for one, other in zip(first, second, strict=True)]
    of = spread(differences)
    if of.sd is None:
        return Difference(of.mean, None, None, 1)
    half = two_sided_t(level, of.seeds - 1) * of.sd / math.sqrt(of.seeds)
    return Difference(of.mean, of.mean - half, of.mean + half, of.seeds)


def verdict(difference: Difference, *, equivalence: float | None, larger_is_better: bool = True) -> Verdict:
    """What may be said of a difference.

    Equivalent where the whole interval lies within the band, else gain or loss where it leaves 0 out, else undecided. A
    wide interval is never called "no gain", and one seed is always undecided.

    Args:
        difference: with its interval.
        equivalence: half the width of the band; None for scores that have none.
        larger_is_better: whether more is a gain.

    >>> verdict(Difference(0.02, 0.01, 0.03, 3), equivalence=0.005)
    'gain'
    >>> verdict(Difference(0.001, -0.002, 0.004, 3), equivalence=0.005)
    'equivalent'
    >>> verdict(Difference(0.02, -0.01, 0.05, 3), equivalence=0.005)
    'undecided'
    """
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "undecided"
    if equivalence is not None and -equivalence <= low and high <= equivalence:
        return "equivalent"
    if low <= 0 <= high:
        return "undecided"
    return "gain" if (low > 0) == larger_is_better else "loss"


def two_sided_t(level: float, degrees: int) -> float:
    """The t within whose two signs the share `level` of Student's distribution lies.

    >>> [round(two_sided_t(0.95, degrees), 3) for degrees in (1, 2, 3, 4, 10)]
    [12.706, 4.303, 3.182, 2.776, 2.228]

    Raises:
        ValueError: for a level outside (0, 1) or less than one degree of freedom.
    """
    if not 0 < level < 1 or degrees < 1:
        raise ValueError(f"expected a level in (0, 1) and degrees >= 1, got {level} and {degrees}")
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _share_within(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _share_within(angle: float, degrees: int) -> float:
    """P(|T| <= sqrt(degrees) tan(angle))."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0
    # Terms of cos^p: odd degrees take p = 1, 3, ..., degrees - 2; even ones p = 0, 2, ..., degrees - 2.
    for power in range(1 if odd else 0, degrees - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
