"""One look at every frame of a part: what it holds, and everything that is wrong with its files."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from foglight.data.audit.frame_facts import FrameFacts, file_facts, frame_facts
from foglight.data.audit.problems import Problem, attempt
from foglight.data.audit.raw_values import RawCounts
from foglight.data.dataset import SegmentationDataset
from foglight.data.folder import PairDataset


@final
@dataclass(frozen=True)
class PartScan:
    """A part, frame by frame.

    Attributes:
        frames: those that could be used, in order.
        raw: None where the data set has no masks on disk.
        problems: everything that is wrong.
        num_classes: k.
    """

    frames: tuple[FrameFacts, ...]
    raw: RawCounts | None
    problems: tuple[Problem, ...]
    num_classes: int

    @property
    def class_pixels(self) -> Int64[np.ndarray, " k"]:
        """Over all frames."""
        return sum((frame.class_pixels for frame in self.frames), np.zeros(self.num_classes, np.int64))

    @property
    def hashes(self) -> UInt64[np.ndarray, " n"]:
        """By frame."""
        return np.array([frame.hash for frame in self.frames], np.uint64)

    @property
    def thumbnails(self) -> Float32[np.ndarray, "n d"]:
        """By frame."""
        return np.stack([frame.thumbnail for frame in self.frames])


def scan(dataset: SegmentationDataset) -> PartScan:
    """Read every frame once; a bad frame is a problem, not the end."""
    num_classes = dataset.info.num_classes
    if isinstance(dataset, PairDataset):
        return _scan_files(dataset)
    problems: list[Problem] = []
    frames: list[FrameFacts] = []
    for index in range(len(dataset)):
        sample = attempt("unreadable", lambda index=index: dataset[index], problems)
        if sample is not None:
            frames.append(frame_facts(sample, dataset.groups[index], num_classes=num_classes))
    return PartScan(tuple(frames), None, tuple(problems), num_classes)


def _scan_files(dataset: PairDataset) -> PartScan:
    num_classes = dataset.info.num_classes
    problems: list[Problem] = []
    frames: list[FrameFacts] = []
    raw = RawCounts({}, {})
    for frame in dataset.frames:
        found = file_facts(frame, dataset.table)
        problems += found.problems
        raw += RawCounts({}, found.raw) if found.colour else RawCounts(found.raw, {})
        if found.sample is not None:
            frames.append(frame_facts(found.sample, frame.group, num_classes=num_classes))
    return PartScan(tuple(frames), raw, tuple(problems), num_classes)
