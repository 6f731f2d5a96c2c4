"""Is a gradient that was made with its number the right one, however often it is asked for?"""

import pytest
import torch
from torch import Tensor

from foglight.functional.known_gradient import with_gradient, with_measured_gradient


def cubes(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return (weight * values**3).sum(), 3 * weight * values**2


def test_a_kept_graph_gives_it_again() -> None:
    values, weight = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 5.0])
    measured = with_measured_gradient(cubes, values, weight)
    made_before = with_gradient(values, *cubes(values.detach(), weight))
    assert measured == made_before == 41
    for total in (2 * measured, 2 * made_before):
        for _ in range(3):
            (gradient,) = torch.autograd.grad(total, values, retain_graph=True)
            assert gradient.tolist() == [6.0, 120.0]


def test_what_was_read_may_not_change_before_it_is_read_again() -> None:
    values, weight = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 5.0])
    total = with_measured_gradient(cubes, values, weight)
    total.backward(retain_graph=True)
    weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
