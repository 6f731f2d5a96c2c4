"""Are intervals and verdicts what a table and a pencil say?"""

import math

import pytest

from foglight.study.statistics import Difference, Verdict, paired_difference, spread, two_sided_t, verdict

BAND = 0.005


@pytest.mark.parametrize(
    ("level", "degrees", "expected"),
    [
        (0.95, 1, 12.7062),
        (0.95, 2, 4.3027),
        (0.95, 7, 2.3646),
        (0.95, 30, 2.0423),
        (0.90, 4, 2.1318),
        (0.99, 5, 4.0321),
        (0.999, 3, 12.9240),
    ],
)
def test_quantiles_are_those_of_the_printed_tables(level: float, degrees: int, expected: float) -> None:
    assert two_sided_t(level, degrees) == pytest.approx(expected, abs=5e-5)


def test_many_degrees_end_at_the_normal_distribution() -> None:
    normal = 1.959964
    # The first term of the Cornish-Fisher expansion in 1 / degrees.
    assert two_sided_t(0.95, 2001) == pytest.approx(normal + (normal**3 + normal) / (4 * 2001), abs=1e-5)


def test_interval_by_hand() -> None:
    # d = 1, 2, 3: mean 2, sd 1, half-width 4.3027 / sqrt(3).
    difference = paired_difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    assert difference.mean == pytest.approx(2.0)
    assert difference.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert difference.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)


def test_pairing_removes_what_the_seeds_share() -> None:
    paired = paired_difference([1.0, 5.0, 9.0], [0.0, 4.0, 8.0])
    assert (paired.low, paired.high) == (1.0, 1.0)


def test_one_seed_has_neither_spread_nor_interval() -> None:
    assert spread([0.5]).sd is None
    difference = paired_difference([0.6], [0.5])
    assert (difference.low, difference.high) == (None, None)
    assert verdict(difference, equivalence=BAND) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.01, 0.03, "gain"),
        (-0.03, -0.01, "loss"),
        (-0.004, 0.004, "equivalent"),
        (0.001, 0.004, "equivalent"),  # certain, but too small to matter
        (-0.004, 0.006, "undecided"),
        (-0.2, 0.2, "undecided"),  # wide: never "no gain"
        (0.0, 0.02, "undecided"),
    ],
)
def test_words(low: float, high: float, word: Verdict) -> None:
    assert verdict(Difference((low + high) / 2, low, high, 3), equivalence=BAND) == word


def test_less_is_better_where_it_is() -> None:
    assert verdict(Difference(-0.2, -0.3, -0.1, 3), equivalence=None, larger_is_better=False) == "gain"


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0, 2.0]), ([], [])])
def test_seeds_that_do_not_pair_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match=r"value|argument"):
        paired_difference(first, second)
