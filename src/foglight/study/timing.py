"""What an update of every arm costs, measured once before anything is trained, and the steps that follow from it.

All arms take turns, step by step, so that a noisy machine is noisy for all of them alike. The teachers are not trained
yet, so networks of their architecture stand for them: the time of a step does not depend on the values of weights. An
arm that is matched to another gets

    steps = round(steps of the other * seconds per step of the other / its own seconds per step)

and is an ordinary step budget from then on. Seconds are of process CPU time on the CPU, of the wall clock on a GPU.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final

import torch

from foglight.config.build import Data, build_data, build_model
from foglight.config.schema import RunConfig
from foglight.engine.budget import budget_steps, seconds_per_step
from foglight.engine.measure import trial_step
from foglight.engine.processes import Processes
from foglight.engine.progress import Progress
from foglight.errors import ConfigurationError, UserError
from foglight.preparation import Prepared, device_of, in_full, prepare
from foglight.study.load import Planned

WARM_UP: Final = 3
TIMED: Final = 25


def measured_arms(planned: Planned, *, progress: Progress) -> dict[str, float]:
    """Median seconds of one update by arm.

    Raises:
        UserError: where an arm cannot be built; nothing has been written by then.
    """
    data: dict[str, Data] = {}
    steps: dict[str, Callable[[], None]] = {}
    with torch.random.fork_rng():
        for name, config in planned.arms.items():
            key = json.dumps(config.data.model_dump(exclude={"pseudo_labels"}), sort_keys=True)
            if key not in data:
                data[key] = _read(config, progress)
            try:
                prepared = _prepared(planned, in_full(config), data[key])
            except UserError as error:
                raise ConfigurationError(
                    f"{planned.file}: arms.{name}: {error.problem}", remedy=error.remedy
                ) from error
            prepared.distiller.train()
            batches = prepared.beginning((WARM_UP + TIMED) * config.optim.accumulate)
            steps[name] = trial_step(prepared.distiller, batches, prepared.config)
        progress.note(f"measuring {TIMED} steps of {len(steps)} arms, by turns")
        device = torch.device(device_of(next(iter(planned.arms.values()))))
        return seconds_per_step(steps, device=device, warm_up=WARM_UP, timed=TIMED)


def settled_budgets(planned: Planned, seconds: Mapping[str, float]) -> dict[str, int]:
    """Updates by arm.

    Args:
        planned: the study.
        seconds: of one update by arm.
    """
    steps = {
        name: budget_steps(
            config.budget, images_per_step=config.data.batch_size * config.optim.accumulate, seconds_per_step=None
        )
        for name, config in planned.arms.items()
    }
    matched = {
        name: max(round(steps[other] * seconds[other] / seconds[name]), 1)
        for name, arm in planned.study.arms.items()
        if (other := arm.match_time_of) is not None
    }
    return {**steps, **matched}


def _read(config: RunConfig, progress: Progress) -> Data:
    """The data with every training frame read: the first arm must not pay for what all of them then find in memory."""
    plain = config.data.model_copy(update={"pseudo_labels": None})
    data = build_data(plain, seed=config.seed)
    if plain.cache == "memory":
        progress.note(f"reading the training frames of {plain.name}")
        parts = [data.stream.dataset, *([] if data.stream.unlabelled is None else [data.stream.unlabelled])]
        for part in parts:
            for index in range(len(part)):
                # What is read is kept by the cache.
                _ = part[index]
    return data


def _prepared(planned: Planned, config: RunConfig, data: Data) -> Prepared:
    """The run of an arm, with a network of its teacher's architecture that has learned nothing."""
    teacher = None
    if config.teacher is not None:
        recipe = planned.teachers[config.teacher.name].student
        teacher = build_model(recipe, num_classes=data.train.info.num_classes)
    return prepare(config, Processes(), teacher=teacher, data=data)
