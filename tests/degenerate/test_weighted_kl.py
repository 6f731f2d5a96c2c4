"""Are the sums whose gradient is made with the value those of the maps of entries, under any weight?"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from foglight.functional import upsampling, weighted_kl
from foglight.functional.kl import class_kl, space_kl
from foglight.functional.resize import resize
from foglight.functional.upsampled_kl import resized_class_kl_sum
from foglight.functional.weighted_kl import class_kl_sum, space_kl_sum

SHAPE = (2, 5, 7, 9)


def numbers(*shape: int, seed: int) -> Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


STUDENT, TEACHER, VALID = numbers(*SHAPE, seed=0), numbers(*SHAPE, seed=1), numbers(2, 7, 9, seed=2) > -1
WEIGHTS = {
    "none": None,
    "one number": torch.tensor(3.0, dtype=torch.float64),
    "logit": numbers(*SHAPE, seed=3).exp(),
    "pixel": numbers(2, 1, 7, 9, seed=3).exp(),
    "class": numbers(2, 5, 1, 1, seed=3).exp(),
    "position": numbers(1, 5, 7, 9, seed=3).exp(),
}


def value_and_slope(total: Tensor, leaf: Tensor) -> tuple[Tensor, Tensor]:
    return total, torch.autograd.grad(total, leaf)[0]


@pytest.mark.parametrize("budget", [1, 4000, upsampling.STRIP_BUDGET])
@pytest.mark.parametrize("valid", [None, VALID], ids=["everywhere", "masked"])
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("over", ["class", "space"])
def test_the_sum_is_that_of_the_map(
    over: str, weight: Tensor | None, valid: Tensor | None, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighted_kl, "STRIP_BUDGET", budget)
    leaf = STUDENT.clone().requires_grad_()
    if over == "class":
        entries, ours = class_kl(leaf, TEACHER, temperature=3.0), class_kl_sum
    else:
        entries, ours = space_kl(leaf, TEACHER, temperature=3.0, valid=valid), space_kl_sum
    inside = torch.tensor(True) if valid is None else valid.unsqueeze(1)
    expected = (torch.where(inside, entries, 0.0) * (1.0 if weight is None else weight)).sum()
    found = ours(leaf, TEACHER, weight=weight, valid=valid, temperature=3.0)
    torch.testing.assert_close(value_and_slope(found, leaf), value_and_slope(expected, leaf), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("valid", [None, VALID], ids=["everywhere", "masked"])
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("budget", [4000, upsampling.STRIP_BUDGET])
def test_the_same_from_the_heads_grids(
    budget: int, weight: Tensor | None, valid: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upsampling, "STRIP_BUDGET", budget)
    leaf, teacher = numbers(2, 5, 3, 4, seed=4).requires_grad_(), numbers(2, 5, 4, 9, seed=5)
    ours, theirs = resize(leaf, SHAPE[2:], align_corners=True), resize(teacher, SHAPE[2:], align_corners=False)
    expected = class_kl_sum(ours, theirs, weight=weight, valid=valid, temperature=0.5)
    found = resized_class_kl_sum(
        leaf, teacher, SHAPE[2:], align_corners=(True, False), weight=weight, valid=valid, temperature=0.5
    )
    torch.testing.assert_close(value_and_slope(found, leaf), value_and_slope(expected, leaf), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("total", [class_kl_sum, space_kl_sum])
@pytest.mark.parametrize("shape", [SHAPE, (3, 5)], ids=["map", "vector"])
def test_a_weight_of_one_changes_no_bit(total: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    student, teacher = numbers(*shape, seed=0).float().requires_grad_(), numbers(*shape, seed=1).float()
    plain = value_and_slope(total(student, teacher), student)
    for one in (torch.ones(()), torch.ones(shape), torch.ones(shape[0], 1, *shape[2:])):
        laid = value_and_slope(total(student, teacher, weight=one), student)
        assert all(torch.equal(before, after) for before, after in zip(plain, laid, strict=True))


@pytest.mark.parametrize("total", [class_kl_sum, space_kl_sum])
def test_what_is_not_valid_reaches_nothing(total: Callable[..., Tensor]) -> None:
    nowhere, broken = torch.zeros_like(VALID), STUDENT.clone()
    broken[..., 0] = torch.nan
    for valid in (nowhere, torch.ones_like(VALID).index_fill(2, torch.tensor([0]), False)):
        leaf = broken.clone().requires_grad_()
        value, slope = value_and_slope(total(leaf, TEACHER, weight=WEIGHTS["logit"], valid=valid), leaf)
        assert torch.isfinite(value)
        assert not slope[..., 0].any()
        assert slope.any() == valid.any()
    assert total(STUDENT, TEACHER, valid=nowhere) == 0
