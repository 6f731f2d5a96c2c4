"""Do correlations taken in strips have the value of torch's and the gradient of a difference quotient?"""

import pytest
import torch

from foglight.functional import correlation
from foglight.functional.correlation import correlation_over_classes, correlation_over_positions

SHAPE = (2, 5, 3, 4)
DRAW = torch.Generator().manual_seed(0)
FIRST, SECOND = (torch.randn(SHAPE, generator=DRAW, dtype=torch.float64).softmax(1) for _ in range(2))
VALID = torch.arange(24).view(2, 3, 4) % 3 != 0


@pytest.fixture(params=[1, 2000], ids=["one at a time", "several at a time"])
def strips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlation, "STRIP_BUDGET", request.param)


def pearson(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.corrcoef(torch.stack((first, second)))[0, 1]


@pytest.mark.usefixtures("strips")
def test_over_classes() -> None:
    rows = (values.movedim(1, -1).reshape(-1, 5) for values in (FIRST, SECOND))
    expected = torch.stack([pearson(*pair) for pair in zip(*rows, strict=True)]).view(2, 3, 4)
    torch.testing.assert_close(correlation_over_classes(FIRST, SECOND), expected, rtol=1e-6, atol=1e-6)
    logits = FIRST.log().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: correlation_over_classes(z.softmax(1), SECOND), logits)


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("valid", [None, VALID], ids=["everywhere", "masked"])
def test_over_positions(valid: torch.Tensor | None, *, per_image: bool) -> None:
    chosen = torch.ones_like(VALID) if valid is None else valid
    groups = [[0], [1]] if per_image else [[0, 1]]
    expected = [
        [pearson(FIRST[images, k][chosen[images]], SECOND[images, k][chosen[images]]) for k in range(5)]
        for images in groups
    ]
    found = correlation_over_positions(FIRST, SECOND, valid, per_image=per_image)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    leaf = FIRST.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda values: correlation_over_positions(values, SECOND, valid, per_image=per_image), leaf
    )


def test_what_is_not_valid_reaches_neither_value_nor_gradient() -> None:
    spoilt = torch.where(VALID.unsqueeze(1), FIRST, torch.nan).requires_grad_()
    found = correlation_over_positions(spoilt, SECOND, VALID)
    torch.testing.assert_close(found, correlation_over_positions(FIRST, SECOND, VALID))
    (gradient,) = torch.autograd.grad(found.sum(), spoilt)
    assert (gradient[~VALID.unsqueeze(1).expand_as(gradient)] == 0).all()
    assert gradient.isfinite().all()


def test_float32_keeps_a_nearly_even_map() -> None:
    even = 0.2 + 1e-4 * (FIRST - FIRST.mean(1, keepdim=True))
    exact, rough = (values.clone().requires_grad_() for values in (even.float().double(), even.float()))
    for values in (exact, rough):
        correlation_over_positions(values, SECOND.to(values.dtype)).sum().backward()
    assert exact.grad is not None
    assert rough.grad is not None
    assert (rough.grad - exact.grad).norm() < 2e-3 * exact.grad.norm()
