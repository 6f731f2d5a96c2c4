"""Is the sum that holds no map of squares that of the map, in value and gradient, also the second time?"""

from itertools import product

import pytest
import torch

from foglight.functional import long_dot
from foglight.functional.weighted_squares import squared_difference_sum
from foglight.losses.logits.kd_mse import logit_square


@pytest.mark.parametrize(("weighted", "masked", "centred"), list(product((False, True), repeat=3)))
def test_it_is_the_sum_of_the_map(weighted: bool, masked: bool, centred: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_dot, "LONGEST", 7)
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 5, 4, generator=generator, dtype=torch.float64)
    student.requires_grad_()
    weight = torch.rand(2, 1, 5, 4, generator=generator, dtype=torch.float64) if weighted else None
    valid = torch.rand(2, 5, 4, generator=generator) < 0.5 if masked else None
    values = logit_square(student, teacher, centred=centred) * (1.0 if weight is None else weight)
    expected = (values if valid is None else values * valid.unsqueeze(1)).sum()
    found = squared_difference_sum(student, teacher, weight=weight, valid=valid, centred=centred)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(each, student, retain_graph=True)[0] for each in (expected, found, found)]
    torch.testing.assert_close(gradients[1:], [gradients[0]] * 2)


def test_what_is_not_valid_may_be_anything() -> None:
    student = torch.tensor([[[1.0, torch.inf], [2.0, torch.nan]]], requires_grad=True)
    valid = torch.tensor([[True, False]])
    total = squared_difference_sum(student, torch.zeros(1, 2, 2), valid=valid, centred=True)
    assert total.item() == 0.5
    (gradient,) = torch.autograd.grad(total, student)
    assert gradient.tolist() == [[[-1.0, 0.0], [1.0, 0.0]]]
