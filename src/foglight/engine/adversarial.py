"""A discriminator learns against the student, under an optimiser that the engine owns.

The student's pass leaves gradient on the discriminator; it is dropped before the discriminator's own loss, which sees
detached outputs, so that neither can leak into the other. Over processes its gradients are averaged explicitly: the
discriminator runs outside the wrapped forward.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from foglight.functional.gather import mean_over_processes
from foglight.losses.base import AdversarialLoss
from foglight.types import Batch, ModelOutput

# Adam 4e-4 with these betas under the student's schedule: the scripts of IFVD and CWD (CIRKD's keep it constant).
LEARNING_RATE: Final = 4e-4
BETAS: Final = (0.9, 0.99)


def discriminator_optimisers(losses: Sequence[AdversarialLoss]) -> list[torch.optim.Optimizer]:
    """One Adam per discriminator; `base_lr` is what the run's schedule multiplies."""
    return [
        torch.optim.Adam(
            [{"params": list(loss.discriminator.parameters()), "lr": LEARNING_RATE, "base_lr": LEARNING_RATE}],
            lr=LEARNING_RATE,
            betas=BETAS,
        )
        for loss in losses
    ]


def update_discriminators(
    losses: Sequence[AdversarialLoss],
    optimisers: Sequence[torch.optim.Optimizer],
    student: ModelOutput,
    teacher: ModelOutput,
    batch: Batch,
) -> dict[str, float]:
    """One step of every discriminator on what both networks said; returns their losses."""
    student = student.detach().promote()
    values: dict[str, float] = {}
    for index, (loss, optimiser) in enumerate(zip(losses, optimisers, strict=True)):
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(student.logits.device.type, enabled=False):
            value = loss.discriminator_loss(student, teacher.promote(), batch)
        torch.autograd.backward(value)
        _average_gradients(loss.discriminator)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        values[f"discriminator_{index}"] = value.item()
    return values


def _average_gradients(discriminator: nn.Module) -> None:
    for parameter in discriminator.parameters():
        if parameter.grad is not None:
            parameter.grad = mean_over_processes(parameter.grad)
