"""The memory bank must hold pixels of the class they are filed under, forget the oldest, and read what was written."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.losses.contrastive._class_keys import class_keys
from foglight.losses.contrastive._queues import push_over_tail, queues, sampled_keys
from foglight.losses.contrastive.cirkd_memory import CIRKDMemory
from foglight.losses.memory import RingBuffer
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

CLASSES = 3
LABEL = torch.tensor([[[0, 0, 1, 1], [1, 255, 2, 2]], [[1, 1, 1, 255], [255, 255, 1, 1]]])


def built(**options: Any) -> CIRKDMemory:
    info = ModelInfo(CLASSES, 8, {"head": TapInfo(CLASSES, 8)})
    settings = {"pixel_memory_size": 8, "region_memory_size": 4, "pixel_update_size": 2, **options}
    return CIRKDMemory(info, info, **settings)


def run(loss: CIRKDMemory, *, label: Tensor = LABEL, step: int = 0) -> dict[str, Tensor]:
    """A teacher whose feature is the one-hot label, so that every stored vector says which class it comes from."""
    student = torch.randn(2, CLASSES, 2, 4, generator=torch.Generator().manual_seed(step)).requires_grad_()
    teacher = F.one_hot(LABEL.where(LABEL != 255, 0), CLASSES).permute(0, 3, 1, 2).float()
    logits = torch.zeros(2, CLASSES, 2, 4)
    given = Batch(torch.zeros(2, 3, 2, 4), label=label, step=step)
    return loss(ModelOutput(logits, {"head": student}), ModelOutput(logits, {"head": teacher}), given)


def pure(memory: RingBuffer) -> list[bool]:
    axes = torch.eye(CLASSES)
    return [bool((memory.stored(index) == axes[index]).all()) for index in range(CLASSES)]


def test_queues_hold_their_own_class_alone() -> None:
    loss = built()
    for step in range(3):
        run(loss, step=step)
    assert all(pure(loss.pixels))
    assert all(pure(loss.regions))
    # Two pixels at most of each image; class 2 is in one image of two, three steps long; eight slots and four.
    assert loss.pixels.count.tolist() == [6, 8, 6]
    assert loss.regions.count.tolist() == [3, 4, 3]


def test_published_indexing_mixes_the_classes() -> None:
    loss = built(legacy_indexing=True)
    run(loss)
    assert not all(pure(loss.pixels))
    assert all(pure(loss.regions))


def test_keys_agree_with_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, order = torch.randn(2, 5, 8, generator=generator), torch.rand(2, 8, generator=generator)
    label = LABEL.flatten(1)
    member = label.unsqueeze(1) == torch.arange(CLASSES).unsqueeze(1)
    keys = class_keys(teacher, member, order, per_class=2, legacy_indexing=False)
    unit = F.normalize(teacher, dim=1)
    for image in range(2):
        for index in range(CLASSES):
            inside = (label[image] == index).nonzero().flatten()
            assert keys.counts[image, index] == min(len(inside), 2)
            if not len(inside):
                continue
            mean = F.normalize(unit[image][:, inside].mean(1), dim=0)
            torch.testing.assert_close(keys.regions[image, index], mean)
            first = inside[order[image, inside].argsort()[:2]]
            torch.testing.assert_close(keys.pixels[image, index, : len(first)], unit[image][:, first].T)


def test_unwritten_slots_are_never_read() -> None:
    memory = RingBuffer(2, 50, 1)
    memory.push(1, torch.ones(3, 1))
    for seed in range(5):
        order = torch.rand(50, generator=torch.Generator().manual_seed(seed))
        assert sampled_keys(memory, order, per_class=10).flatten().tolist() == [1.0, 1.0, 1.0]


def test_full_queues_are_read_at_the_same_slots() -> None:
    memory = RingBuffer(2, 6, 1)
    memory.fill(torch.arange(12.0).view(2, 6, 1))
    keys = sampled_keys(memory, torch.tensor([0.5, 0.4, 0.1, 0.9, 0.2, 0.3]), per_class=2).view(2, 2)
    assert [sorted(row) for row in keys.tolist()] == [[2.0, 4.0], [8.0, 10.0]]


def test_nothing_stored_is_zero_with_a_graph() -> None:
    loss = built().eval()
    terms = run(loss)
    assert [value.item() for value in terms.values()] == [0.0, 0.0]
    assert all(value.requires_grad for value in terms.values())


def test_all_ignored_stores_nothing_and_is_zero() -> None:
    loss = built(legacy_unfilled=True)
    before = loss.pixels.vectors.clone()
    terms = run(loss, label=torch.full_like(LABEL, 255))
    assert [value.item() for value in terms.values()] == [0.0, 0.0]
    assert torch.equal(loss.pixels.vectors, before)


def test_published_wrap_overwrites_the_tail() -> None:
    legacy, ring = RingBuffer(1, 5, 1), RingBuffer(1, 5, 1)
    for start in (1, 4):
        for push, memory in ((push_over_tail, legacy), (RingBuffer.push, ring)):
            push(memory, 0, torch.arange(start, start + 3.0).unsqueeze(1))
    assert legacy.vectors.flatten().tolist() == [1, 2, 4, 5, 6]
    assert ring.vectors.flatten().tolist() == [6, 2, 3, 4, 5]
    assert (legacy.head.item(), ring.head.item()) == (0, 1)


def test_half_queues_take_half_the_memory_and_teach_the_same() -> None:
    full, half = built(), built(half_queues=True)
    half.projector.load_state_dict(full.projector.state_dict())
    assert half.pixels.vectors.dtype == torch.float16
    for name, value in run(full).items():
        # One-hot vectors are exact in float16.
        torch.testing.assert_close(run(half)[name], value)


def test_sizes_beyond_the_data_are_clamped() -> None:
    loss = built(pixel_update_size=100, pixel_contrast_size=10**6)
    assert all(torch.isfinite(value) for value in run(loss).values())
    assert loss.pixels.count.tolist() == [2, 8, 2]


def test_unfilled_queues_start_full_of_directions() -> None:
    memory = queues(2, 3, 4, full=True, half=False)
    assert memory.filled.all()
    torch.testing.assert_close(memory.vectors.norm(dim=2), torch.ones(2, 3))


def test_queues_that_cannot_be_held_are_refused_before_they_are_allocated() -> None:
    with pytest.raises(ValueError, match=r"expected queues of at most 8 GiB .* got 3.35e\+04 GiB; lower"):
        built(pixel_memory_size=10**12)
