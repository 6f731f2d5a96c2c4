"""Are the closed-form moments exact where they claim to be, and close, finite and resolved elsewhere?"""

import pytest
import torch
from torch import Tensor

from foglight.functional.dropout_moments import expected_ratio, logit_variance, sigmoid_deviation, softmax_sigma
from foglight.models.closed_form import interpolation_matrix


def case(channels: int, classes: int, scale: float, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(channels + classes)
    feature = torch.randn(2, channels, 3, 4, generator=generator, dtype=dtype).relu()
    weight = torch.randn(classes, channels, generator=generator, dtype=dtype) * scale / channels**0.5
    return feature, weight, torch.einsum("kc,bchw->bkhw", weight, feature)


def test_logit_variance_is_exact() -> None:
    feature, weight, _ = case(3, 4, 2.0, torch.float64)
    rate, masks = 0.3, torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    chance = torch.where(masks > 0, 1 - rate, rate).to(masks).prod(1)
    logits = torch.einsum("kc,mc,bchw->mbkhw", weight, masks / (1 - rate), feature)
    mean = torch.einsum("m,mbkhw->bkhw", chance, logits)
    variance = torch.einsum("m,mbkhw->bkhw", chance, (logits - mean).square())
    torch.testing.assert_close(logit_variance(feature.square(), weight, rate=rate), variance)


@pytest.mark.parametrize(("channels", "classes", "rate", "bound"), [(512, 12, 0.1, 0.05), (128, 19, 0.5, 0.06)])
def test_sigma_is_what_many_draws_say(channels: int, classes: int, rate: float, bound: float) -> None:
    feature, weight, logits = case(channels, classes, 1.0)
    torch.manual_seed(0)
    draws = torch.stack(
        [
            torch.einsum("kc,bchw->bkhw", weight, torch.nn.functional.dropout(feature, rate)).softmax(1)
            for _ in range(2000)
        ]
    )
    sampled = draws.std(0, correction=0)
    assert (softmax_sigma(logits, feature.square(), weight, rate=rate) - sampled).abs().sum() < bound * sampled.sum()


@pytest.mark.parametrize("scale", [1.0, 10.0, 30.0])
def test_single_precision_resolves_confident_pixels(scale: float) -> None:
    feature, weight, logits = case(64, 19, scale, torch.float64)
    exact = softmax_sigma(logits, feature.square(), weight, rate=0.1)
    single = softmax_sigma(logits.float(), feature.float().square(), weight.float(), rate=0.1)
    resolved = exact > 1e-12  # what single precision can hold of a softmax at all
    assert ((single - exact).abs()[resolved] < 1e-3 * exact[resolved]).all()


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e4, 1e8])
def test_extreme_logits_are_finite(scale: float) -> None:
    feature, weight, logits = case(16, 5, scale)
    sigma = softmax_sigma(logits, feature.square(), weight, rate=0.5)
    assert torch.isfinite(sigma).all()
    assert (sigma >= 0).all()
    assert (sigma <= 0.5).all()


def test_degenerate_cases() -> None:
    feature, weight, logits = case(16, 5, 1.0)
    assert not softmax_sigma(logits, feature.square(), weight, rate=0.0).any()
    two = softmax_sigma(logits[:, :2], feature.square(), weight[:2], rate=0.3)
    torch.testing.assert_close(two[:, 0], two[:, 1])
    shifted = softmax_sigma(logits + 7, feature.square(), weight + 3, rate=0.3)
    torch.testing.assert_close(shifted, softmax_sigma(logits, feature.square(), weight, rate=0.3), rtol=1e-3, atol=1e-5)
    assert not sigmoid_deviation(torch.randn(9), torch.zeros(9)).any()


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("passes", [2, 5, 20])
def test_expected_ratio_of_normal_draws(passes: int, ddof: int) -> None:
    draws = torch.randn(100_000, passes, generator=torch.Generator().manual_seed(0))
    assert abs(expected_ratio(passes, ddof=ddof) - draws.std(1, correction=ddof).mean().item()) < 0.01
    assert expected_ratio(1, ddof=0) == 0.0


@pytest.mark.parametrize("align_corners", [True, False])
def test_interpolation_matrix_is_the_resize(align_corners: bool) -> None:
    values = torch.randn(1, 1, 5, 4)
    rows, columns = (interpolation_matrix(old, new, align_corners=align_corners) for old, new in ((5, 17), (4, 9)))
    expected = torch.nn.functional.interpolate(values, (17, 9), mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(rows @ values @ columns.T, expected)
