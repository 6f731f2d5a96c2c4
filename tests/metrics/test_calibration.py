"""Do sums over bins give the calibration errors that all confidences would give?"""

import numpy as np
import pytest
import torch

from foglight.metrics.calibration import (
    MASS_CELLS,
    bin_sums,
    class_wise_sums,
    equal_mass_cell,
    equal_mass_error,
    equal_width_bin,
    expected_calibration_error,
    merge_bins,
)
from metrics import brute


def draw(pixels: int, sharpness: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Confidences, and hits that come less often than they promise."""
    generator = torch.Generator().manual_seed(int(sharpness * 10))
    confidence = torch.rand(pixels, generator=generator) ** (1 / sharpness)
    return confidence, torch.rand(pixels, generator=generator) < confidence**2


@pytest.mark.parametrize("bins", [10, 15])
def test_equal_width_error_equals_brute_force(bins: int) -> None:
    confidence, hit = draw(3000, 2.0)
    sums = merge_bins(bin_sums(equal_width_bin(confidence, 30), hit, confidence, bins=30), bins)
    expected = brute.ece(confidence.double().numpy(), hit.numpy(), np.linspace(0, 1, bins + 1))
    assert expected_calibration_error(sums).item() == pytest.approx(expected, rel=1e-9)


def test_confidence_one_falls_in_the_last_bin() -> None:
    confidence, hit = torch.tensor([1.0, 1.0, 0.95, 0.95]), torch.tensor([False, False, True, True])
    sums = bin_sums(equal_width_bin(confidence, 10), hit, confidence, bins=10)
    assert sums.count.tolist() == [0] * 9 + [4]
    # In one bin: |1/2 - 0.975|. A bin of its own for 1.0 would give (1 + 0.05) / 2.
    assert expected_calibration_error(sums).item() == pytest.approx(0.475)


@pytest.mark.parametrize("sharpness", [1.0, 20.0, 2000.0])
def test_equal_mass_error_is_near_that_of_sorting(sharpness: float) -> None:
    confidence, hit = draw(30_000, sharpness)
    cells = bin_sums(equal_mass_cell(confidence), hit, confidence, bins=MASS_CELLS)
    exact = brute.equal_mass_ece(confidence.double().numpy(), hit.double().numpy(), 15)
    assert equal_mass_error(cells, bins=15).item() == pytest.approx(exact, abs=1e-3)


def test_equal_mass_bins_share_a_cell_that_is_cut() -> None:
    confidence = torch.tensor([0.25] * 40 + [0.75] * 60)
    hit = torch.tensor([True] * 40 + [False] * 60)
    cells = bin_sums(equal_mass_cell(confidence), hit, confidence, bins=MASS_CELLS)
    # Two bins of 50: 40 hits of 0.25 with 10 misses of 0.75, and 50 misses.
    assert equal_mass_error(cells, bins=2).item() == pytest.approx((30 - 7.5 + 37.5) / 100)
    # One bin: 40 hits against a sum of confidences of 55.
    assert equal_mass_error(cells, bins=1).item() == pytest.approx(0.15)


def test_class_wise_error_equals_brute_force() -> None:
    generator = torch.Generator().manual_seed(3)
    probability = (3 * torch.randn(500, 4, generator=generator)).softmax(1)
    label = torch.randint(0, 4, (500,), generator=generator)
    errors = expected_calibration_error(class_wise_sums(probability, label, bins=15))
    for cls in range(4):
        values = probability[:, cls].double().numpy()
        expected = brute.ece(values, (label == cls).numpy(), np.linspace(0, 1, 16))
        assert errors[cls].item() == pytest.approx(expected, rel=1e-9)
