"""What a network costs: parameters, multiply-adds of one image, and seconds."""

import statistics
from dataclasses import dataclass
from typing import final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foglight.engine.budget import clock
from foglight.models.network import Network


@final
@dataclass(frozen=True)
class Cost:
    """Measured on this machine.

    Attributes:
        parameters: trainable and frozen ones.
        multiply_adds: of one forward of one image.
        size: height and width of that image.
        seconds: median of one forward in eval mode (process CPU time on the CPU).
    """

    parameters: int
    multiply_adds: int
    size: tuple[int, int]
    seconds: float


def parameter_count(module: nn.Module) -> int:
    """All parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def measure_cost(network: Network, size: tuple[int, int], *, repetitions: int = 5) -> Cost:
    """Count and time one image of that size; the network's mode is put back afterwards."""
    device = next(network.parameters()).device
    image = torch.zeros(1, 3, *size, device=device)
    was_training = network.training
    network.eval()
    try:
        with FlopCounterMode(display=False) as counter:
            network(image)
        times: list[float] = []
        for _ in range(repetitions):
            start = clock(device)
            network(image)
            times.append(clock(device) - start)
    finally:
        network.train(was_training)
    # The counter counts a multiplication and an addition as two operations.
    return Cost(parameter_count(network), counter.get_total_flops() // 2, size, statistics.median(times))
