"""Several steps against one of them, round by round: ratios and an interval that needs no normal distribution.

In every round each step runs once, in random order, and is divided by another of the same round, so that what slows
the machine for a while slows both. The interval of the median is that of order statistics: the number of ratios below
the true median is binomial(n, 1/2), whatever their distribution.
"""

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import comb
from typing import Final

import torch

from foglight.engine.budget import clock

Step = Callable[[], object]
CPU: Final = torch.device("cpu")
COVERAGE: Final = 0.95
# The fewest values whose range covers their median with at least 95 %.
FEWEST: Final = 6


def seconds_of(step: Step) -> float:
    """Process CPU seconds of one call."""
    start = clock(CPU)
    step()
    return clock(CPU) - start


def paired_rounds(arms: Mapping[str, Step], *, rounds: int, rare: Collection[str] = ()) -> Iterator[dict[str, float]]:
    """Seconds by name, round by round; `rare` steps run in `FEWEST` of the rounds."""
    draw = random.Random(0)
    with_rare = set(draw.sample(range(rounds), min(FEWEST, rounds)))
    for index in range(rounds):
        names = [name for name in arms if index in with_rare or name not in rare]
        draw.shuffle(names)
        yield {name: seconds_of(arms[name]) for name in names}


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Low, high and coverage: the narrowest pair of order statistics around the median that covers at least 95 %.

    Fewer than six values cannot: then it is their whole range, with the coverage that this has.

    >>> low, high, coverage = median_interval([float(value) for value in range(1, 16)])
    >>> low, high, round(coverage, 3)
    (4.0, 12.0, 0.965)
    """
    ordered, number = sorted(values), len(values)

    def coverage(rank: int) -> float:
        return 1 - 2 * sum(comb(number, below) for below in range(rank)) / 2**number

    rank = max((rank for rank in range(1, number // 2 + 1) if coverage(rank) >= COVERAGE), default=1)
    return ordered[rank - 1], ordered[-rank], max(coverage(rank), 0.0)
