"""Look at a run without leaving a trace on it.

The losses are looked at through a copy: they keep queues, controllers and plain counters. The student is put back by
its state, because modules of users cannot always be copied. The teacher is frozen and shared. Cost: the student's state
and the losses once more in memory.
"""

import copy
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from foglight.engine.distiller import Distiller


@contextmanager
def untouched(distiller: Distiller) -> Generator[None]:
    """Inside, anything may be trained; afterwards student, losses and random streams are as they were."""
    state = {name: values.clone() for name, values in distiller.student.state_dict().items()}
    modes = {module: module.training for module in distiller.modules()}
    terms = distiller.terms
    device = next(distiller.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        distiller.terms = copy.deepcopy(terms, _shared(distiller))
        try:
            yield
        finally:
            distiller.terms = terms
            distiller.student.load_state_dict(state)
            distiller.zero_grad(set_to_none=True)
            for module, training in modes.items():
                module.training = training


def _shared(distiller: Distiller) -> dict[int, Any]:
    """What a copy of the losses does not copy: a loss may hold a tensor or a module of either network."""
    networks: list[nn.Module] = [distiller.student, *([] if distiller.teacher is None else [distiller.teacher])]
    held = [part for network in networks for part in (*network.modules(), *network.parameters(), *network.buffers())]
    return {id(part): part for part in held}
