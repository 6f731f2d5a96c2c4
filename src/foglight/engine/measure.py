"""The seconds of one training step, measured without leaving a trace on the run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain

import torch

from foglight.config.schema import RunConfig
from foglight.engine.accumulate import is_update, scaled, update
from foglight.engine.budget import TIMED_STEPS, WARM_UP_STEPS, seconds_per_step
from foglight.engine.distiller import Distiller
from foglight.engine.optimiser import build_optimiser
from foglight.engine.teacher_stage import look_at_adaptations
from foglight.types import Batch

# Number of micro-batches -> batches from the beginning of the stream.
Batches = Callable[[int], Iterable[Batch]]


def trial_step(distiller: Distiller, batches: Iterable[Batch], config: RunConfig) -> Callable[[], None]:
    """One full update per call: data, both forwards, losses, backward and optimiser; takes the first batch at once."""
    groups = list(distiller.optimiser_groups(head_multiple=config.optim.head_lr_multiple))
    optimiser = build_optimiser(groups, config.optim)
    iterator = iter(batches)
    first = next(iterator)
    look_at_adaptations(distiller, replace(first, seed=config.seed))
    iterator = chain([first], iterator)
    accumulate = config.optim.accumulate
    half = config.engine.precision == "bf16"

    def step() -> None:
        for index in range(accumulate):
            batch = replace(next(iterator), seed=config.seed, rank=index)
            with torch.autocast(batch.image.device.type, dtype=torch.bfloat16, enabled=half):
                student, teacher = distiller.outputs(batch)
                total, _ = distiller.terms(student, teacher, batch)
            torch.autograd.backward(scaled(total, accumulate))
            if is_update(index, accumulate):
                update(optimiser, groups, config.optim.clip)

    return step


def read_once(batches: Iterable[Batch]) -> None:
    """Go through batches that will be timed: what a cache decodes or makes once is not the cost of a step."""
    for _ in batches:
        pass


def measured_steps(arms: Mapping[str, tuple[Distiller, Batches, RunConfig]]) -> dict[str, float]:
    """Median seconds per update of each arm, interleaved; every state is put back afterwards."""
    calls = WARM_UP_STEPS + TIMED_STEPS
    states = {
        name: {key: values.clone() for key, values in distiller.state_dict().items()}
        for name, (distiller, _, _) in arms.items()
    }
    modes = {name: distiller.training for name, (distiller, _, _) in arms.items()}
    random_state = torch.get_rng_state()
    steps: dict[str, Callable[[], None]] = {}
    try:
        for name, (distiller, batches, config) in arms.items():
            distiller.train()
            number = calls * config.optim.accumulate
            read_once(batches(number))
            steps[name] = trial_step(distiller, batches(number), config)
        device = next(next(iter(arms.values()))[0].parameters()).device
        return seconds_per_step(steps, device=device)
    finally:
        for name, (distiller, _, _) in arms.items():
            distiller.load_state_dict(states[name])
            distiller.train(modes[name])
            distiller.zero_grad(set_to_none=True)
        torch.set_rng_state(random_state)


def measured_step(distiller: Distiller, batches: Batches, config: RunConfig) -> float:
    """The same for one arm alone."""
    return measured_steps({"run": (distiller, batches, config)})["run"]
