"""Batches: resumption, sharding, workers, and evaluation of every frame exactly once."""

import pytest
import torch

from data.builders import Numbered
from foglight.data.dataset import SegmentationDataset
from foglight.data.loading import PositionSampler, evaluation_batches, training_batches
from foglight.data.sample import Sample
from foglight.data.stream import TrainingStream
from foglight.data.transforms import Augment
from foglight.errors import ConfigurationError
from foglight.types import Batch

STREAM = TrainingStream(
    Numbered(7),
    Augment(crop=(6, 6), scale=(0.8, 1.2), colour_jitter=0.2),
    seed=4,
    unlabelled=Numbered(3, labelled=False, offset=50),
)


def _batches(first: int, count: int, *, workers: int = 0, rank: int = 0, world: int = 1) -> list[Batch]:
    loader = training_batches(
        STREAM, batch_size=4, first_batch=first, num_batches=count, workers=workers, rank=rank, world_size=world
    )
    assert len(loader) == count
    return list(loader)


def _same(a: Batch, b: Batch) -> bool:
    return a.ids == b.ids and torch.equal(a.image, b.image) and torch.equal(a.label, b.label)  # pyright: ignore[reportArgumentType]


def test_resumed_run_sees_what_the_uninterrupted_one_sees() -> None:
    whole, resumed = _batches(0, 6), _batches(4, 2)
    assert all(_same(a, b) for a, b in zip(whole[4:], resumed, strict=True))


def test_workers_change_nothing() -> None:
    assert all(_same(a, b) for a, b in zip(_batches(0, 3), _batches(0, 3, workers=1), strict=True))


def test_global_stream_is_untouched() -> None:
    before = torch.get_rng_state()
    _batches(0, 2)
    list(evaluation_batches(Numbered(3)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_together_see_the_one_order(world: int) -> None:
    shards = [_batches(1, 3, rank=rank, world=world) for rank in range(world)]
    together = [sum((batch.ids for batch in parts), ()) for parts in zip(*shards, strict=True)]
    assert together == [batch.ids for batch in _batches(1, 3)]


def test_every_rank_gets_labelled_frames_in_a_mix() -> None:
    for rank in range(2):
        assert all(bool(batch.labelled.any()) for batch in _batches(0, 4, rank=rank, world=2))  # pyright: ignore


def test_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"batch_size 4 .* multiple of their number, 3.*batch_size=3"):
        PositionSampler(batch_size=4, first_batch=0, num_batches=1, rank=0, world_size=3)
    with pytest.raises(ValueError, match=r"rank in 0\.\.1"):
        PositionSampler(batch_size=4, first_batch=0, num_batches=1, rank=2, world_size=2)


class _TwoSizes(SegmentationDataset):
    """Frames whose size alternates."""

    def __init__(self) -> None:
        self.parts = (Numbered(5, size=(4, 4)), Numbered(5, size=(4, 6)))
        ids = tuple(f"frame{i}" for i in range(5))
        super().__init__(self.parts[0].info, ids=ids, groups=ids)

    def __getitem__(self, index: int) -> Sample:
        return self.parts[index % 2][index]


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 0), (3, 0), (1, 1), (9, 0)])
def test_evaluation_sees_every_frame_once(world: int, workers: int) -> None:
    seen: list[str] = []
    for rank in range(world):
        for batch in evaluation_batches(Numbered(7), batch_size=3, rank=rank, world_size=world, workers=workers):
            seen += batch.ids
    assert sorted(seen) == [f"frame{i}" for i in range(7)]


def test_evaluation_parts_sizes_and_can_be_repeated() -> None:
    batches = evaluation_batches(_TwoSizes(), batch_size=4)
    for _ in range(2):
        assert [batch.ids for batch in batches] == [("frame0", "frame2"), ("frame1", "frame3"), ("frame4",)]
