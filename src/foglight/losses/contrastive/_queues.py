"""Memory banks of a contrastive loss: how they begin, what is read of them, and how published code wraps them round.

Symbols: q queues of n slots, c channels of a key, m keys that are read.
Source: CIRKD `losses/cirkd_memory.py` @ dab64db, which has it from ContrastiveSeg.
Changed: only slots that were written are read; `push_over_tail` is the published wrap-around, kept for parity.
Cost: of reading, one order of q*n numbers and m*c numbers.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.direction import unit
from foglight.losses.memory import RingBuffer


def queues(count: int, slots: int, channels: int, *, full: bool, half: bool) -> RingBuffer:
    """Empty queues, or queues full of random directions; in float16 where `half`."""
    memory = RingBuffer(count, slots, channels)
    if full:
        memory.fill(unit(torch.randn(count, slots, channels), dim=2))
    return memory.half() if half else memory


def sampled_keys(memory: RingBuffer, order: Float[Tensor, " n"], *, per_class: int) -> Float[Tensor, "m c"]:
    """In every queue the written slots with the smallest numbers of `order`, at most `per_class` of each.

    >>> memory = RingBuffer(1, 3, 1)
    >>> memory.push(0, torch.tensor([[5.0], [6.0]]))
    >>> sampled_keys(memory, torch.tensor([0.2, 0.1, 0.0]), per_class=1).tolist()
    [[6.0]]
    """
    filled = memory.filled
    queue = torch.arange(len(filled), device=filled.device).unsqueeze(1)
    # Numbers are below one, so that a slot that was never written comes after every one that was.
    slot = torch.where(filled, order, 1.0).topk(min(per_class, filled.shape[1]), dim=1, largest=False).indices
    return memory.vectors[queue, slot][filled[queue, slot]]


def push_over_tail(memory: RingBuffer, queue: int, vectors: Float[Tensor, "m c"]) -> None:
    """Published wrap-around: what would reach the end of the queue overwrites its last slots, and the head is 0."""
    slots = memory.vectors.shape[1]
    vectors = vectors[:slots]
    if int(memory.head[queue]) + len(vectors) < slots:
        memory.push(queue, vectors)
        return
    memory.head[queue] = slots - len(vectors)
    memory.push(queue, vectors)
