"""What is in a data set, before hours are spent on it: the audit behind `foglight check-data`.

Every frame is read once. Nothing is raised for a bad file: all problems are listed at the end. Parts are compared with
each other three ways: frames that look alike (see `audit.duplicates`), groups that stand in two parts, and the mIoU of
copying the label of the most similar training image (see `audit.leakage`).
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from foglight.data.audit.duplicates import NEAR_BITS, frame_gap, near_duplicates
from foglight.data.audit.findings import Audit, Duplicate, PartFindings, SharedGroup
from foglight.data.audit.folder_parts import open_folder
from foglight.data.audit.leakage import copied_label_miou
from foglight.data.audit.problems import Problem
from foglight.data.audit.raw_values import UNKNOWN, RawCounts, raw_values
from foglight.data.audit.scan import PartScan, scan
from foglight.data.audit.suggestion import suggest_mapping
from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.folder import PairDataset
from foglight.data.labels import LabelTable
from foglight.types import IGNORE_INDEX

TRAIN: Final = "train"


def audit(parts: Mapping[str, SegmentationDataset], *, most_bits: int = NEAR_BITS) -> Audit:
    """Audit the parts of one data set.

    Args:
        parts: by name, such as train, tune and report; of one data set.
        most_bits: how many of 64 bits near-duplicates may differ in.

    Raises:
        ValueError: if there is no part.
    """
    if not parts:
        raise ValueError("expected at least one part, got none")
    info = next(iter(parts.values())).info
    scans = {name: scan(dataset) for name, dataset in parts.items()}
    findings = tuple(_part(name, found, scans, info) for name, found in scans.items())
    table = next((dataset.table for dataset in parts.values() if isinstance(dataset, PairDataset)), None)
    raw = None if table is None else _raw(scans).as_read_by(table)
    return Audit(
        name=info.name,
        parts=findings,
        raw_values=() if table is None or raw is None else tuple(raw_values(raw, table)),
        problems=tuple(itertools.chain.from_iterable(_problems(name, found) for name, found in scans.items())),
        duplicates=tuple(_duplicates(scans, most_bits)),
        shared_groups=tuple(_shared_groups(scans)),
        suggestion=None if table is None or raw is None else _suggestion(raw, table, scans),
        memory_bytes=sum(frame.memory_bytes for found in scans.values() for frame in found.frames),
        notes=tuple(dict.fromkeys(note for dataset in parts.values() for note in dataset.info.notes)),
    )


def audit_folder(
    root: Path,
    *,
    split: str | None = None,
    group: str | None = None,
    images: str = "images",
    masks: str = "masks",
    mask_suffix: str = "",
) -> Audit:
    """Audit an own folder, from its raw files and as far as they can be read.

    Args:
        root: the folder that holds images, masks and `classes.yaml`.
        split: a CSV or JSON file (as seen from the root), `group` (the default) or `frame`.
        group: regular expression whose first parenthesis is a frame's group.
        images: folder of the images.
        masks: folder of the masks.
        mask_suffix: what a mask's name has beyond its image's.
    """
    found = open_folder(root, split=split, group=group, images=images, masks=masks, mask_suffix=mask_suffix)
    if not found.parts:
        return Audit(root.resolve().name, (), (), found.problems, (), (), None, 0, ())
    result = audit(found.parts)
    return replace(result, problems=found.problems + result.problems, suggestion=found.suggestion or result.suggestion)


def _part(name: str, found: PartScan, scans: Mapping[str, PartScan], info: DataInfo) -> PartFindings:
    pixels = dict(zip(info.class_names, found.class_pixels.tolist(), strict=True))
    train = scans.get(TRAIN)
    leakage = None
    if name != TRAIN and train is not None and train.frames and found.frames:
        leakage = copied_label_miou(
            found.thumbnails,
            [frame.label for frame in found.frames],
            train.thumbnails,
            [frame.label for frame in train.frames],
            num_classes=info.num_classes,
        )
    return PartFindings(
        name=name,
        frames=len(found.frames),
        unlabelled=sum(frame.label is None for frame in found.frames),
        groups=len({frame.group for frame in found.frames}),
        sizes=Counter(f"{frame.size[0]}x{frame.size[1]}" for frame in found.frames),
        class_pixels=pixels,
        ignored_pixels=sum(frame.ignored_pixels for frame in found.frames),
        absent=tuple(name for name, count in pixels.items() if count == 0),
        copied_label_miou=leakage,
    )


def _problems(name: str, found: PartScan) -> Iterator[Problem]:
    yield from found.problems
    labelled = [frame for frame in found.frames if frame.label is not None]
    if labelled and not found.class_pixels.any():
        yield Problem(
            "value",
            f"all labels of the part {name!r} are ignored ({len(labelled)} masks)",
            "check `map:` and `ignore:`",
        )


def _different_parts(scans: Mapping[str, PartScan]) -> Iterator[tuple[tuple[str, PartScan], tuple[str, PartScan]]]:
    """Pairs of parts, without those that are one and the same: their note says so, once."""
    for one, other in itertools.combinations(scans.items(), 2):
        if [frame.id for frame in one[1].frames] != [frame.id for frame in other[1].frames]:
            yield one, other


def _duplicates(scans: Mapping[str, PartScan], most_bits: int) -> Iterator[Duplicate]:
    for (other_name, other), (name, found) in _different_parts(scans):
        for likeness in near_duplicates(found.hashes, other.hashes, most_bits=most_bits):
            frame, twin = found.frames[likeness.frame].id, other.frames[likeness.other].id
            yield Duplicate(name, frame, other_name, twin, likeness.bits)


def _shared_groups(scans: Mapping[str, PartScan]) -> Iterator[SharedGroup]:
    for (name, found), (other_name, other) in _different_parts(scans):
        for group in sorted({frame.group for frame in found.frames} & {frame.group for frame in other.frames}):
            ids = [[frame.id for frame in part.frames if frame.group == group] for part in (found, other)]
            yield SharedGroup(group, (name, other_name), frame_gap(*ids))


def _raw(scans: Mapping[str, PartScan]) -> RawCounts:
    return sum((found.raw for found in scans.values() if found.raw is not None), RawCounts({}, {}))


def _suggestion(raw: RawCounts, table: LabelTable, scans: Mapping[str, PartScan]) -> str | None:
    """Where a value is unknown, or the foreground of a binary mask is taken for "ignored"."""
    unknown = any(value.meaning == UNKNOWN for value in raw_values(raw, table))
    pixels = np.sum([found.class_pixels for found in scans.values()], axis=0)
    binary = set(raw.indices) == {0, IGNORE_INDEX} and not pixels.all()
    if not unknown and not binary:
        return None
    if raw.colours and not table.colours:
        return suggest_mapping(raw.colours, colour=True, names=table.class_names)
    return suggest_mapping(raw.indices, colour=False, names=table.class_names)
