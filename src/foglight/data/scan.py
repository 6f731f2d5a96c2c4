"""One look at every frame of a part: what it holds, and everything that is wrong with its files."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from foglight.data.dataset import SegmentationDataset
from foglight.data.folder import PairDataset
from foglight.data.frame_facts import FileFacts, FrameFacts, file_facts, frame_facts
from foglight.data.problems import Problem, attempt

# A mask saved as JPEG holds thousands of values; those beyond this many are counted together.
MOST_RAW_VALUES: Final = 4096


@final
@dataclass(frozen=True)
class RawCounts:
    """Pixels by raw mask value, before any meaning.

    Attributes:
        indices: by index.
        colours: by packed colour.
        others: pixels of values beyond the first few thousand.
    """

    indices: Counter[int]
    colours: Counter[int]
    others: int = 0

    def __add__(self, other: "RawCounts") -> "RawCounts":
        return RawCounts(self.indices + other.indices, self.colours + other.colours, self.others + other.others)


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
    raw = RawCounts(Counter(), Counter())
    for frame in dataset.frames:
        found = file_facts(frame, dataset.table)
        problems += found.problems
        raw = _add(raw, found)
        if found.sample is not None:
            frames.append(frame_facts(found.sample, frame.group, num_classes=num_classes))
    return PartScan(tuple(frames), raw, tuple(problems), num_classes)


def _add(total: RawCounts, found: FileFacts) -> RawCounts:
    counts = total.colours if found.colour else total.indices
    others = total.others
    for value, pixels in (found.raw or {}).items():
        if value in counts or len(counts) < MOST_RAW_VALUES:
            counts[value] += pixels
        else:
            others += pixels
    return RawCounts(total.indices, total.colours, others)
