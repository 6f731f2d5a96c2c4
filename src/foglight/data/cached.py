"""Frames resized once and kept in memory as bytes.

Cost: 3 bytes per pixel for the image, 1 for the label, 4 per extra channel. Frames are read when first asked for, so
nothing is paid for a part that is never used. Each worker process fills a cache of its own: with a cache in memory,
`workers: 0` is the quick and lean choice.
"""

from dataclasses import replace
from typing import final

import torch

from foglight.data.dataset import SegmentationDataset
from foglight.data.sample import Sample, identity_geometry
from foglight.data.transforms import resize_sample


@final
class ResizedDataset(SegmentationDataset):
    """Every frame at one size; what comes out is the stored frame that `geometry` leads back to.

    Args:
        dataset: the frames.
        size: height and width in pixels.
    """

    def __init__(self, dataset: SegmentationDataset, size: tuple[int, int]) -> None:
        super().__init__(dataset.info, ids=dataset.ids, groups=dataset.groups)
        self.dataset = dataset
        self.size = size

    def __getitem__(self, index: int) -> Sample:
        return replace(resize_sample(self.dataset[index], self.size), geometry=identity_geometry())


@final
class CachedDataset(SegmentationDataset):
    """Every frame read once, then kept.

    Args:
        dataset: the frames.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        super().__init__(dataset.info, ids=dataset.ids, groups=dataset.groups)
        self.dataset = dataset
        self._kept: dict[int, Sample] = {}

    def __getitem__(self, index: int) -> Sample:
        # The underlying data set judges the index: Python's iteration protocol ends at its IndexError.
        if index not in self._kept:
            self._kept[index] = _compact(self.dataset[index])
        return self._kept[index]

    @property
    def nbytes(self) -> int:
        """Bytes that are held now."""
        return sum(sample_nbytes(sample) for sample in self._kept.values())

    @property
    def expected_nbytes(self) -> int:
        """Bytes once every frame has been read, if all are as large as the first; reads the first frame."""
        return len(self) * sample_nbytes(self[0]) if len(self) else 0


def sample_nbytes(sample: Sample) -> int:
    """Bytes of the image, the label and the extra channels."""
    return sum(values.nbytes for values in (sample.image, sample.label, sample.extra) if values is not None)


def _compact(sample: Sample) -> Sample:
    label = None if sample.label is None else sample.label.to(torch.uint8)
    return replace(sample, image=sample.image.contiguous(), label=label)
