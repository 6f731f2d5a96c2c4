"""Gradient accumulation and clipping under manual optimisation.

A micro-batch's loss is divided by their number, so that k micro-batches of n images give the gradient of the mean of
their losses. Clipping: first each group's own norm, then the norm of everything.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foglight.engine.optimiser import ParameterSettings


def is_update(micro_step: int, accumulate: int) -> bool:
    """Whether the optimiser steps after this micro-batch.

    >>> [is_update(index, 2) for index in range(4)]
    [False, True, False, True]
    """
    return (micro_step + 1) % accumulate == 0


def scaled(loss: Tensor, accumulate: int) -> Tensor:
    """The share of one micro-batch; untouched where there is only one."""
    return loss if accumulate == 1 else loss / accumulate


def clip(groups: Sequence[ParameterSettings], largest: float | None) -> None:
    """Clip gradients in place, per group where a group asks for it, then all together."""
    for group in groups:
        if group.clip_norm is not None:
            nn.utils.clip_grad_norm_(group.parameters, group.clip_norm)
    if largest is not None:
        nn.utils.clip_grad_norm_([parameter for group in groups for parameter in group.parameters], largest)


def update(optimiser: torch.optim.Optimizer, groups: Sequence[ParameterSettings], largest: float | None) -> None:
    """Clip, step, and drop the gradients."""
    clip(groups, largest)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
