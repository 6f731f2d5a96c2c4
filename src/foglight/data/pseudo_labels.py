"""Frames whose labels are what a network says of them: the plainest way to use a teacher, as a control of finer ones.

    label(x, y) = argmax_c logits_c(x, y) of the whole, un-augmented frame

There is no threshold on the confidence: every pixel gets a label. Each frame is predicted once, when first asked for.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import final

from jaxtyping import Integer
from torch import Tensor

from foglight.data.dataset import SegmentationDataset
from foglight.data.sample import Sample

# A frame -> class indices.
Label = Callable[[Sample], Integer[Tensor, "H W"]]


@final
class PseudoLabelled(SegmentationDataset):
    """The same frames, each with a predicted label in place of its own.

    Args:
        dataset: the frames; labels that they have are not looked at.
        label: predicts one.
    """

    def __init__(self, dataset: SegmentationDataset, label: Label) -> None:
        super().__init__(dataset.info, ids=dataset.ids, groups=dataset.groups)
        self.dataset = dataset
        self.label = label
        self._labels: dict[int, Tensor] = {}

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        if index not in self._labels:
            self._labels[index] = self.label(sample)
        return replace(sample, label=self._labels[index], labelled=True)
