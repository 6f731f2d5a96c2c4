"""How long a run is, in student updates.

Seconds become steps once, before training starts, from the seconds per step measured after warm-up; the run is then an
ordinary step budget. Several arms are measured interleaved, so that a noisy machine is noisy for all of them alike.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from foglight.config.schema import BudgetConfig

WARM_UP_STEPS = 2
TIMED_STEPS = 5


def budget_steps(budget: BudgetConfig, *, images_per_step: int, seconds_per_step: float | None) -> int:
    """The number of student updates that a budget buys, at least one.

    Raises:
        ValueError: for a budget in seconds without a measured step.

    >>> budget_steps(BudgetConfig(samples=1000), images_per_step=16, seconds_per_step=None)
    62
    """
    if budget.steps is not None:
        return budget.steps
    if budget.samples is not None:
        return max(budget.samples // images_per_step, 1)
    if seconds_per_step is None or budget.seconds is None:
        raise ValueError("expected a measured step for a budget in seconds, got none; measure with `seconds_per_step`")
    return max(int(budget.seconds / seconds_per_step), 1)


def clock(device: torch.device) -> float:
    """Seconds: process CPU time on the CPU, where the wall clock is at the mercy of the neighbours; else the wall's."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def seconds_per_step(
    arms: Mapping[str, Callable[[], object]],
    *,
    device: torch.device,
    warm_up: int = WARM_UP_STEPS,
    timed: int = TIMED_STEPS,
) -> dict[str, float]:
    """The median seconds of one call of each arm, round robin after warm-up."""
    for _ in range(warm_up):
        for step in arms.values():
            step()
    measured: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(timed):
        for name, step in arms.items():
            start = clock(device)
            step()
            measured[name].append(clock(device) - start)
    return {name: statistics.median(values) for name, values in measured.items()}
