"""Batches for training and for evaluation, sharded over processes.

`batch_size` always counts the images of all processes together: batch n of the stream is positions n*B .. n*B + B - 1,
of which rank r takes the r-th equal slice. One process and four processes therefore see the same images per update.
Evaluation gives every frame to exactly one rank, once; nothing is padded or repeated.
"""

from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch.utils.data import DataLoader, Sampler

from foglight.data.dataset import SegmentationDataset
from foglight.data.sample import Sample, collate
from foglight.data.stream import TrainingStream
from foglight.errors import ConfigurationError
from foglight.types import Batch


@final
class PositionSampler(Sampler[list[int]]):
    """The positions of one rank, batch by batch.

    Args:
        batch_size: over all processes.
        first_batch: number of the first batch; a resumed run gives its step here.
        num_batches: how many follow.
        rank: of this process.
        world_size: number of processes.

    >>> list(PositionSampler(batch_size=4, first_batch=1, num_batches=2, rank=1, world_size=2))
    [[6, 7], [10, 11]]
    """

    def __init__(
        self, *, batch_size: int, first_batch: int, num_batches: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size % world_size:
            raise ConfigurationError(
                f"data.batch_size {batch_size} counts the images of all processes and must be a multiple of "
                f"their number, {world_size}",
                remedy=f"set data.batch_size={max(1, batch_size // world_size) * world_size}",
            )
        if not 0 <= rank < world_size:
            raise ValueError(f"expected a rank in 0..{world_size - 1}, got {rank}")
        self.share = batch_size // world_size
        self.starts = range(first_batch * batch_size, (first_batch + num_batches) * batch_size, batch_size)
        self.offset = rank * self.share

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[int]]:
        for start in self.starts:
            yield list(range(start + self.offset, start + self.offset + self.share))


def training_batches(
    stream: TrainingStream,
    *,
    batch_size: int,
    first_batch: int,
    num_batches: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Any]:
    """A loader of `Batch` over a stretch of the stream; the global random state is not touched.

    Raises:
        ConfigurationError: if the batch cannot be shared equally by the processes.
    """
    sampler = PositionSampler(
        batch_size=batch_size, first_batch=first_batch, num_batches=num_batches, rank=rank, world_size=world_size
    )
    return _loader(stream, sampler, collate, workers)


@final
class EvaluationBatches:
    """Every frame of a data set exactly once over all ranks, in order; iterable as often as wanted.

    Frames of different size never share a batch: a chunk that mixes sizes comes as several smaller batches.

    Args:
        dataset: the frames.
        batch_size: largest number of frames per batch of this process.
        rank: of this process; it takes frames rank, rank + world_size, ...
        world_size: number of processes.
        workers: processes that decode ahead.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        *,
        batch_size: int = 1,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 0,
    ) -> None:
        indices = range(rank, len(dataset), world_size)
        chunks = [list(indices[start : start + batch_size]) for start in range(0, len(indices), batch_size)]
        self.loader = _loader(dataset, chunks, collate_by_size, workers)

    def __iter__(self) -> Iterator[Batch]:
        for batches in self.loader:
            yield from batches


def collate_by_size(samples: Sequence[Sample]) -> list[Batch]:
    """One batch per frame size, in order of first appearance."""
    by_size: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        by_size.setdefault(sample.size, []).append(sample)
    return [collate(group) for group in by_size.values()]


def evaluation_batches(
    dataset: SegmentationDataset, *, batch_size: int = 1, rank: int = 0, world_size: int = 1, workers: int = 0
) -> EvaluationBatches:
    """Batches of every frame of this rank, exactly once."""
    return EvaluationBatches(dataset, batch_size=batch_size, rank=rank, world_size=world_size, workers=workers)


def _loader(dataset: Any, batches: Any, collate_fn: Any, workers: int) -> DataLoader[Any]:
    # A loader draws a seed for its workers when it is iterated: from its own generator, never from the global one.
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate_fn,
        num_workers=workers,
        generator=torch.Generator().manual_seed(0),
    )
