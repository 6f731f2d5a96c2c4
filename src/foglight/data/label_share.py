"""Labels on a share of the training frames: what is left when masks are dear and images are not.

Whole groups (drives, towns, scenes) keep their labels where a group of average size fits into the share, that is with
at least 1 / share of them; otherwise single frames do, and `info.notes` says so. Which ones is a draw: a pure function
of (seed, name), so two arms of one seed know the same labels and another seed knows others.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.sample import Sample
from foglight.types import derive_seed


@final
class FrameSubset(SegmentationDataset):
    """Some frames of a data set, with their labels or without.

    Args:
        dataset: the frames.
        indices: which of them, in this order.
        labels: whether their labels are handed out.
        notes: to add to those of the data set.
    """

    def __init__(
        self, dataset: SegmentationDataset, indices: Sequence[int], *, labels: bool, notes: tuple[str, ...] = ()
    ) -> None:
        info: DataInfo = replace(dataset.info, notes=(*dataset.info.notes, *notes))
        ids = tuple(dataset.ids[index] for index in indices)
        super().__init__(info, ids=ids, groups=tuple(dataset.groups[index] for index in indices))
        self.dataset = dataset
        self.indices = tuple(indices)
        self.labels = labels

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[self.indices[index]]
        return sample if self.labels else replace(sample, label=None, labelled=False)


def split_labels(dataset: SegmentationDataset, share: float, *, seed: int) -> tuple[FrameSubset, FrameSubset]:
    """The frames whose labels are known, and the others without theirs.

    Args:
        dataset: the training part, all of it labelled.
        share: of the groups, or of the frames where groups are too few; at least one is labelled.
        seed: of the draw.

    Raises:
        ValueError: if the share is not in (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share in (0, 1), got {share}")
    by_group = share * len(set(dataset.groups)) >= 1
    names = dataset.groups if by_group else dataset.ids
    drawn = sorted(set(names), key=lambda name: derive_seed(seed, "label share", name))
    known = set(drawn[: max(round(share * len(drawn)), 1)])
    labelled = [index for index, name in enumerate(names) if name in known]
    others = [index for index, name in enumerate(names) if name not in known]
    kind = "whole groups" if by_group else "single frames, because a group is larger than the share"
    note = f"labels of {len(labelled)} of {len(dataset)} training frames are used, drawn by {kind}"
    return FrameSubset(dataset, labelled, labels=True, notes=(note,)), FrameSubset(dataset, others, labels=False)
