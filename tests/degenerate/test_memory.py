"""A queue must forget its oldest vectors first, whatever the sizes of the pushes."""

from collections import deque

import pytest
import torch

from foglight.losses.memory import RingBuffer


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1, 1, 1, 1], [3, 3, 3], [4, 1, 5], [11], [0, 2, 0]])
def test_agrees_with_a_deque(sizes: list[int]) -> None:
    memory, truth, count = RingBuffer(2, 5, 1), deque[float](maxlen=5), 0
    for size in sizes:
        vectors = torch.arange(count, count + size, dtype=torch.float32)
        memory.push(1, vectors.unsqueeze(1))
        truth.extend(vectors.tolist())
        count += size
    assert memory.stored(1).flatten().tolist() == list(truth)
    assert memory.filled.sum(1).tolist() == [0, len(truth)]
    assert sorted(memory.vectors[1][memory.filled[1]].flatten().tolist()) == list(truth)


def test_keeps_no_graph_and_comes_back_from_its_state() -> None:
    memory, copy = RingBuffer(1, 3, 2), RingBuffer(1, 3, 2)
    memory.push(0, torch.ones(2, 2, requires_grad=True))
    copy.load_state_dict(memory.state_dict())
    assert not memory.stored(0).requires_grad
    for queue in (memory, copy):
        queue.push(0, torch.full((2, 2), 2.0))
    assert torch.equal(memory.stored(0), copy.stored(0))
    memory.fill(torch.zeros(1, 3, 2))
    assert memory.stored(0).shape == (3, 2)


def test_an_empty_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        RingBuffer(1, 0, 2)
