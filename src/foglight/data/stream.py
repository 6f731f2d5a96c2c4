"""The endless training stream: which frame stands at which position, and how it is augmented.

Position p is a pure function of (seed, p). Labelled frames come in passes, each a permutation drawn from
(seed, "order", pass); with unlabelled frames at a fraction f, position p is unlabelled where
floor((p + 1) f) > floor(p f), which spreads them evenly. The augmentation of position p is drawn from
(seed, "augment", p). So arms of a comparison see the same frames, a run resumes at any position, and the number of
processes and workers changes nothing.
"""

import math
from fractions import Fraction
from functools import lru_cache
from typing import final

import torch
from torch.utils.data import Dataset

from foglight.data.dataset import SegmentationDataset
from foglight.data.sample import Sample
from foglight.data.transforms import Augment
from foglight.errors import DataError
from foglight.types import derive_seed

LARGEST_DENOMINATOR = 10_000


@lru_cache(maxsize=8)
def pass_order(seed: int, name: str, number: int, length: int) -> tuple[int, ...]:
    """The permutation of 0..length-1 in which pass `number` goes through the frames."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", name, number))
    return tuple(torch.randperm(length, generator=generator).tolist())


def unlabelled_before(position: int, fraction: Fraction) -> int:
    """How many of the positions 0..position-1 are unlabelled.

    >>> [unlabelled_before(p, Fraction(1, 2)) for p in range(5)]
    [0, 0, 1, 1, 2]
    """
    return math.floor(position * fraction)


@final
class TrainingStream(Dataset[Sample]):
    """Augmented frames by position 0, 1, 2, ... without end.

    Args:
        dataset: the labelled frames.
        augment: applied to every frame, under the seed of its position.
        seed: of the run.
        unlabelled: frames without masks that are mixed in; only teacher terms learn from them.
        unlabelled_fraction: the share of positions that they take.

    Raises:
        DataError: if there are no frames, or the crop is larger than every frame even at the largest scale.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        augment: Augment,
        *,
        seed: int,
        unlabelled: SegmentationDataset | None = None,
        unlabelled_fraction: float = 0.5,
    ) -> None:
        if not 0 <= unlabelled_fraction <= 1:
            raise ValueError(f"expected unlabelled_fraction in [0, 1], got {unlabelled_fraction}")
        self.dataset = dataset
        self.augment = augment
        self.seed = seed
        self.unlabelled = unlabelled
        fraction = Fraction(unlabelled_fraction).limit_denominator(LARGEST_DENOMINATOR)
        self.fraction = Fraction(0) if unlabelled is None else fraction
        for frames in (dataset, unlabelled):
            if frames is not None:
                require_crop_fits(frames, augment)

    def frame(self, position: int) -> tuple[SegmentationDataset, int]:
        """The data set and the index in it that stand at that position."""
        before = unlabelled_before(position, self.fraction)
        if self.unlabelled is not None and unlabelled_before(position + 1, self.fraction) > before:
            return self.unlabelled, self._index(self.unlabelled, "unlabelled", before)
        return self.dataset, self._index(self.dataset, "labelled", position - before)

    def __getitem__(self, position: int) -> Sample:
        dataset, index = self.frame(position)
        return self.augment(dataset[index], derive_seed(self.seed, "augment", position))

    def _index(self, dataset: SegmentationDataset, name: str, rank: int) -> int:
        number, place = divmod(rank, len(dataset))
        return pass_order(self.seed, name, number, len(dataset))[place]


def require_crop_fits(dataset: SegmentationDataset, augment: Augment) -> None:
    """Look for one frame that the crop fits into; as a rule the first one does.

    Raises:
        DataError: if there are no frames, or the crop is larger than every frame even at the largest scale.
    """
    if not len(dataset):
        raise DataError(f"{dataset.info.name}: no frames to train on", remedy="check data.root and data.split")
    largest = (0, 0)
    for index in range(len(dataset)):
        size = dataset[index].size
        if augment.fits(size):
            return
        largest = max(largest, size)
    raise DataError(
        f"{dataset.info.name}: the crop {augment.crop} is larger than any frame even at scale {augment.scale[1]:g} "
        f"(largest frame: {largest})",
        remedy="make data.augment.crop (height, width) smaller, or set data.augment.resize",
    )
