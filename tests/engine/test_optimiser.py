"""Is every trainable parameter in exactly one group, and is the schedule scaled to the budget?"""

import pytest
import torch
from torch import Tensor, nn

from foglight.config.schema import OptimConfig
from foglight.engine.accumulate import clip, is_update, scaled
from foglight.engine.optimiser import (
    ParameterSettings,
    build_optimiser,
    learning_rate_multiplier,
    parameter_settings,
    set_learning_rate,
)
from foglight.losses.base import Card, DistillationLoss, ParameterGroup
from foglight.types import Batch, ModelOutput, Requires


class Projected(DistillationLoss):
    """A loss with one layer; `groups` says what it hands to the optimiser."""

    card = Card("a projection", "L = p", "none")

    def __init__(self, times: int) -> None:
        super().__init__()
        self.requires = Requires()
        self.projection = nn.Linear(2, 2)
        self.times = times

    def optimiser_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(tuple(self.parameters()), 10.0, 15.0)] * self.times

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        return {"p": self.projection.weight.sum()}


def test_a_loss_that_hands_over_its_parameters_once_is_accepted() -> None:
    student, loss = nn.Linear(3, 3), Projected(1)
    groups = parameter_settings(student, [loss], head_multiple=1.0)
    assert sum(p.numel() for g in groups for p in g.parameters) == 12 + 6
    assert groups[-1].learning_rate_multiple == 10.0
    assert groups[-1].clip_norm == 15.0


@pytest.mark.parametrize(("times", "found"), [(0, "2 in none and 0 in two"), (2, "0 in none and 2 in two")])
def test_orphans_and_twins_are_refused(times: int, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        parameter_settings(nn.Linear(3, 3), [Projected(times)], head_multiple=1.0)


def test_schedule_starts_at_one_and_scales_with_the_budget() -> None:
    config = OptimConfig(schedule="poly", power=0.9)
    assert learning_rate_multiplier(0, 10, config) == 1.0
    assert learning_rate_multiplier(5, 10, config) == learning_rate_multiplier(500, 1000, config) == 0.5**0.9


def test_every_group_follows_its_own_multiple() -> None:
    groups = [
        ParameterSettings("a", (nn.Parameter(torch.zeros(1)),)),
        ParameterSettings("b", (nn.Parameter(torch.zeros(1)),), 10.0),
    ]
    optimiser = build_optimiser(groups, OptimConfig(lr=0.1))
    set_learning_rate(optimiser, 0.5)
    assert [group["lr"] for group in optimiser.param_groups] == [0.05, 0.5]


def test_two_micro_batches_give_the_gradient_of_the_mean() -> None:
    parameter = nn.Parameter(torch.tensor(2.0))
    for micro, value in enumerate((1.0, 5.0)):
        torch.autograd.backward(scaled(parameter * value, 2))
        assert is_update(micro, 2) == (micro == 1)
    assert parameter.grad is not None
    assert parameter.grad.item() == 3.0


def test_clipping_first_the_group_then_everything() -> None:
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([30.0]), torch.tensor([4.0])
    clip([ParameterSettings("a", (a,), clip_norm=3.0), ParameterSettings("b", (b,))], 2.5)
    assert a.grad.item() == pytest.approx(1.5, rel=1e-5)
    assert b.grad.item() == pytest.approx(2.0, rel=1e-5)
