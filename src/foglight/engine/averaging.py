"""An exponential moving average of the student's weights and buffers.

average <- d * average + (1 - d) * student, with d = min(decay, (1 + step) / (10 + step)) so that early steps count.
"""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn


@final
class AveragedWeights:
    """Averaged floating-point state; integer state is copied.

    Args:
        student: whose state is averaged.
        decay: in [0, 1); 0 keeps no average.
    """

    def __init__(self, student: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: values.detach().clone() for name, values in student.state_dict().items()} if decay else {}

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Take in the student's state after update `step`."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, values in student.state_dict().items():
            if values.is_floating_point():
                self.state[name].lerp_(values.detach(), 1 - decay)
            else:
                self.state[name].copy_(values)

    def of(self, student: nn.Module) -> Mapping[str, Tensor]:
        """The averaged state, or the student's own where nothing is averaged."""
        return self.state if self.decay else student.state_dict()
