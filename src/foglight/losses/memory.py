"""A ring buffer: queues of fixed length that forget their oldest vectors first.

Symbols: q queues (one per class, or one), n slots per queue, c channels of a vector.
Source: the memory bank of He et al. 2020 (MoCo); CIRKD keeps one queue per class.
Changed: a push past the end wraps round slot by slot, and slots that were never written are known as such; published
code jumps back to slot 0 with part of the push lost, and fills the buffer with random vectors instead.
Cost: q*n*c numbers of buffer, saved and restored with the loss.
"""

from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@final
class RingBuffer(nn.Module):
    """Queues of vectors without gradient.

    Args:
        queues: how many.
        slots: vectors that one queue holds.
        channels: of one vector.

    >>> memory = RingBuffer(1, 2, 1)
    >>> memory.push(0, torch.tensor([[1.0], [2.0], [3.0]]))
    >>> memory.stored(0).flatten().tolist()
    [2.0, 3.0]
    """

    vectors: Float[Tensor, "q n c"]
    head: Tensor
    count: Tensor

    def __init__(self, queues: int, slots: int, channels: int) -> None:
        super().__init__()
        if min(queues, slots, channels) < 1:
            raise ValueError(f"expected at least one queue, slot and channel, got {queues}, {slots} and {channels}")
        self.register_buffer("vectors", torch.zeros(queues, slots, channels))
        self.register_buffer("head", torch.zeros(queues, dtype=torch.long))
        self.register_buffer("count", torch.zeros(queues, dtype=torch.long))

    @torch.no_grad()
    def push(self, queue: int, vectors: Float[Tensor, "m c"]) -> None:
        """Append, oldest first; of more vectors than there are slots only the last are kept."""
        slots = self.vectors.shape[1]
        kept = vectors.detach()[-slots:]
        index = (self.head[queue] + torch.arange(len(kept), device=self.head.device)) % slots
        self.vectors[queue, index] = kept.to(self.vectors.dtype)
        self.head[queue] = (self.head[queue] + len(kept)) % slots
        self.count[queue] = (self.count[queue] + len(kept)).clamp(max=slots)

    def stored(self, queue: int) -> Float[Tensor, "m c"]:
        """A copy of what one queue holds, oldest first."""
        slots = self.vectors.shape[1]
        count = int(self.count[queue])
        index = (self.head[queue] - count + torch.arange(count, device=self.head.device)) % slots
        return self.vectors[queue, index]

    @property
    def filled(self) -> Bool[Tensor, "q n"]:
        """Which slots of `vectors` were written, in the order of storage."""
        slots = torch.arange(self.vectors.shape[1], device=self.count.device)
        return slots < self.count.unsqueeze(1)

    @torch.no_grad()
    def fill(self, vectors: Float[Tensor, "q n c"]) -> None:
        """Overwrite every slot of every queue; the first slot is the oldest."""
        self.vectors.copy_(vectors)
        self.head.zero_()
        self.count.fill_(self.vectors.shape[1])
