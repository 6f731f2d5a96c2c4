r"""What every segmentation data set promises, and how often its classes occur.

The share of class c over all pixels that say something is f_c; the class weight is 1 / sqrt(f_c), scaled so that the
classes that occur have mean one. A class that never occurs gets weight one: no pixel ever reads it, so it must not
distort the others.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from foglight.data.sample import Sample
from foglight.types import IGNORE_INDEX, ChannelKind

Colour = tuple[int, int, int]


@final
@dataclass(frozen=True)
class DataInfo:
    """What a data set is.

    Attributes:
        name: of the data set.
        class_names: by training index.
        palette: red, green, blue bytes by training index.
        ignore_index: the label where nothing is said.
        extra_channels: x; 0 where there is only RGB.
        notes: sentences that a user must read: guesses that were made, warnings about the split.
        extra_kinds: what each extra channel measures, as in every `Sample`; empty counts as `other`.
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[Colour, ...]
    ignore_index: int = IGNORE_INDEX
    extra_channels: int = 0
    notes: tuple[str, ...] = ()
    extra_kinds: tuple[ChannelKind, ...] = ()

    def __post_init__(self) -> None:
        if self.extra_kinds and len(self.extra_kinds) != self.extra_channels:
            raise ValueError(
                f"expected one kind per extra channel, got {len(self.extra_kinds)} for {self.extra_channels}"
            )
        if len(self.class_names) != len(self.palette):
            raise ValueError(f"expected one colour per class, got {len(self.palette)} for {len(self.class_names)}")

    @property
    def num_classes(self) -> int:
        """The number of classes, k."""
        return len(self.class_names)


class SegmentationDataset(Dataset[Sample], ABC):
    """Frames in a fixed order, decoded and with labels mapped to training indices.

    Args:
        info: what the data set is.
        ids: one unique name per frame.
        groups: one per frame; frames of one group (a drive, a town, a scene) are near-copies of each other.
    """

    def __init__(self, info: DataInfo, *, ids: tuple[str, ...], groups: tuple[str, ...]) -> None:
        if len(ids) != len(groups):
            raise ValueError(f"expected one group per frame, got {len(groups)} for {len(ids)} frames")
        if len(set(ids)) != len(ids):
            raise ValueError("expected unique ids")
        self.info = info
        self.ids = ids
        self.groups = groups

    @final
    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """The frame at that position."""


def class_frequencies(dataset: SegmentationDataset) -> Float[Tensor, " k"]:
    """The share of each class over all labelled, not ignored pixels, in float64; reads every frame once.

    A data set that says nothing at all has frequency zero everywhere.
    """
    classes = dataset.info.num_classes
    counts = torch.zeros(classes, dtype=torch.int64)
    for index in range(len(dataset)):
        sample = dataset[index]
        if sample.label is not None and sample.labelled:
            values = sample.label.flatten().long()
            counts += torch.bincount(values[values != dataset.info.ignore_index], minlength=classes)
    return counts.double() / counts.sum().clamp(min=1)


def class_weights(frequencies: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """1 / sqrt(frequency) with mean one over the classes that occur; one for a class that does not, in float32.

    >>> class_weights(torch.tensor([0.9, 0.1, 0.0]))
    tensor([0.5000, 1.5000, 1.0000])
    """
    present = frequencies > 0
    weights = torch.where(present, frequencies.double(), 1.0).rsqrt()
    mean = weights[present].mean() if bool(present.any()) else weights.new_ones(())
    return torch.where(present, weights / mean, 1.0).float()
