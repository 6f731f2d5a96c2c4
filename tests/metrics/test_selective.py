"""Does the histogram rank errors as exact sorting does, and are ties worth half?"""

import itertools

import numpy as np
import pytest
import torch

from foglight.metrics.selective import CELLS, area_under_risk_coverage, error_auroc, error_histogram
from metrics import brute


def draw(power: float, pixels: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    uncertainty = torch.rand(pixels, generator=generator) ** power
    return uncertainty, torch.rand(pixels, generator=generator) < 0.05 + 0.5 * uncertainty


@pytest.mark.parametrize("power", [1.0, 4.0, 10.0])
def test_auroc_is_within_its_bound_of_exact_sorting(power: float) -> None:
    uncertainty, wrong = draw(power)
    histogram = error_histogram(uncertainty, wrong)
    right_pixels, wrong_pixels = histogram.double()
    bound = (right_pixels * wrong_pixels).sum() / (2 * right_pixels.sum() * wrong_pixels.sum())
    assert bound < 2e-3
    assert abs(error_auroc(histogram).item() - brute.auroc(uncertainty.numpy(), wrong.numpy())) <= bound + 1e-12


@pytest.mark.parametrize("power", [1.0, 4.0, 10.0])
def test_aurc_lies_between_the_best_and_the_worst_order_of_tied_pixels(power: float) -> None:
    uncertainty, wrong = draw(power)
    value = area_under_risk_coverage(error_histogram(uncertainty, wrong)).item()
    cell, errors = (uncertainty.double() ** 0.25 * CELLS).long().numpy(), wrong.numpy()
    best, worst = brute.aurc(cell + 0.5 * errors, errors), brute.aurc(cell - 0.5 * errors, errors)
    assert best <= value <= worst
    assert best <= brute.aurc(uncertainty.numpy(), errors) <= worst
    if power <= 4:
        assert worst - best < 5e-3


def test_aurc_of_ties_is_the_mean_over_their_orders() -> None:
    orders = set(itertools.permutations([True, False, False]))
    expected = sum(brute.aurc(np.arange(3), np.array(order)) for order in orders) / len(orders)
    tied = error_histogram(torch.full((3,), 0.5), torch.tensor([True, False, False]))
    assert area_under_risk_coverage(tied).item() == pytest.approx(expected)


def test_a_score_that_says_nothing() -> None:
    _, wrong = draw(1.0)
    histogram = error_histogram(torch.full((len(wrong),), 0.3), wrong)
    assert error_auroc(histogram).item() == pytest.approx(0.5)
    assert area_under_risk_coverage(histogram).item() == pytest.approx(wrong.double().mean().item())


def test_a_perfect_score_and_its_opposite() -> None:
    wrong = torch.tensor([True] * 3 + [False] * 7)
    perfect = error_histogram(wrong.float(), wrong)
    assert error_auroc(perfect).item() == 1
    assert area_under_risk_coverage(perfect).item() == pytest.approx(sum(n / (7 + n) for n in range(1, 4)) / 10)
    assert error_auroc(error_histogram(-wrong.float(), wrong, limits=(-1.0, 0.0))).item() == 0


def test_ranks_do_not_depend_on_the_range() -> None:
    uncertainty, wrong = draw(2.0)
    unit = error_histogram(uncertainty.double(), wrong)
    torch.testing.assert_close(error_histogram(8 * uncertainty.double() - 4, wrong, limits=(-4.0, 4.0)), unit)


def test_values_outside_the_range_count_as_its_ends() -> None:
    histogram = error_histogram(torch.tensor([-1.0, 2.0, float("inf")]), torch.tensor([False, True, True]))
    assert histogram[0, 0] == 1
    assert histogram[1, CELLS - 1] == 2


@pytest.mark.parametrize("wrong", [True, False])
def test_auroc_needs_both_right_and_wrong(wrong: bool) -> None:
    assert error_auroc(error_histogram(torch.rand(5), torch.full((5,), wrong))).isnan()


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        error_histogram(torch.tensor([float("nan")]), torch.tensor([True]))
