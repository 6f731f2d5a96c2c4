"""Does a budget buy the right number of updates, and does measuring leave no trace?"""

from itertools import count

import pytest
import torch

from foglight.config.schema import BudgetConfig
from foglight.engine.budget import budget_steps, seconds_per_step


def test_steps_samples_and_seconds() -> None:
    assert budget_steps(BudgetConfig(steps=7), images_per_step=4, seconds_per_step=None) == 7
    assert budget_steps(BudgetConfig(samples=30), images_per_step=4, seconds_per_step=None) == 7
    assert budget_steps(BudgetConfig(seconds=10), images_per_step=4, seconds_per_step=0.5) == 20
    assert budget_steps(BudgetConfig(seconds=0.1), images_per_step=4, seconds_per_step=0.5) == 1


def test_seconds_without_a_measurement_are_refused() -> None:
    with pytest.raises(ValueError, match="measured step"):
        budget_steps(BudgetConfig(seconds=10), images_per_step=4, seconds_per_step=None)


def test_arms_are_measured_round_robin_after_warm_up() -> None:
    order: list[str] = []
    arms = {name: lambda name=name: order.append(name) for name in ("a", "b")}
    measured = seconds_per_step(arms, device=torch.device("cpu"), warm_up=1, timed=2)
    assert order == ["a", "b"] * 3
    assert set(measured) == {"a", "b"}


def test_the_median_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    durations = [1.0, 9.0, 2.0]
    times = iter([value for total, d in zip((0.0, 10.0, 20.0), durations, strict=True) for value in (total, total + d)])
    monkeypatch.setattr("foglight.engine.budget.clock", lambda device: next(times))
    assert seconds_per_step({"a": lambda: next(ticks)}, device=torch.device("cpu"), warm_up=0, timed=3) == {"a": 2.0}
