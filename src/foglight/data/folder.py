"""An own folder of `images/` and `masks/`, matched by stem, with class names from `classes.yaml`.

Which part a frame belongs to comes from a CSV or JSON file, or from its group: whole drives, scenes or patients are
held out. Groups come from the split file, from a regular expression, or are guessed from the names; a guess is told in
`info.notes`. Single frames are dealt out only when `split: frame` asks for it. Extra channels, such as depth, lie in a
folder of their own under the same stems.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch

from foglight.data.classes_file import Classes, parse_classes, read_yaml
from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.extra_files import with_extra_folder
from foglight.data.groups import Part, groups_by_pattern, guess_groups, parts_by_group
from foglight.data.images import RawMask, read_image, read_mask, require_same_size
from foglight.data.labels import LabelTable
from foglight.data.layout import Listing, list_pairs
from foglight.data.sample import Sample
from foglight.data.splits import SplitRow, read_split
from foglight.errors import DataError
from foglight.types import IGNORE_INDEX

CLASSES_FILE = "classes.yaml"
BY_GROUP = "group"
BY_FRAME = "frame"


@final
@dataclass(frozen=True)
class Frame:
    """One image and its mask on disk.

    Attributes:
        id: its name.
        image: file.
        mask: file.
        group: frames of one group are near-copies.
        part: where it belongs.
    """

    id: str
    image: Path
    mask: Path
    group: str
    part: Part


@final
class PairDataset(SegmentationDataset):
    """Images and masks on disk, decoded at every access.

    Args:
        frames: what there is.
        table: what mask values mean.
        info: what the data set is.
        read: a mask from its file.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        *,
        table: LabelTable,
        info: DataInfo,
        read: Callable[[Path], RawMask] = read_mask,
    ) -> None:
        super().__init__(info, ids=tuple(frame.id for frame in frames), groups=tuple(frame.group for frame in frames))
        self.frames = tuple(frames)
        self.table = table
        self.read = read

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        image, mask = read_image(frame.image), self.read(frame.mask)
        require_same_size(frame.image, image, frame.mask, mask.values)
        return Sample(frame.id, image, self.table.apply(mask, frame.mask))


def own_folder(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    classes: str | Mapping[str, Any] | None = None,
    group: str | None = None,
    images: str = "images",
    masks: str = "masks",
    mask_suffix: str = "",
    unknown: Literal["error", "ignore"] = "error",
    extra: str | None = None,
    extra_kinds: Sequence[str] = ("depth",),
    extra_scale: float | None = None,
) -> SegmentationDataset:
    """One part of an own folder.

    Args:
        root: the folder.
        part: which part.
        split: a CSV or JSON file (as seen from the root), `group` (the default) or `frame`.
        classes: the class file, or its content; without it `classes.yaml` in the root.
        group: regular expression whose first parenthesis is a frame's group.
        images: folder of the images.
        masks: folder of the masks.
        mask_suffix: what a mask's name has beyond its image's, such as `_mask`.
        unknown: what to do with a mask value that has no meaning.
        extra: folder of extra channels, such as `depth`; None for colour alone.
        extra_kinds: what each extra channel measures.
        extra_scale: unit per count of a 16-bit PNG of extra channels, such as 0.001 for millimetres.

    Raises:
        DataError: if files are missing or do not fit, there are too few groups, or the part says nothing.
        ConfigurationError: if the class file, or what is said of the extra channels, is malformed.
    """
    described = _read_classes(root, classes)
    listing = list_pairs(root / images, root / masks, mask_suffix=mask_suffix)
    frames, notes = assign_frames(listing, root, split=split, group=group)
    chosen = [frame for frame in frames if frame.part == part]
    if not chosen:
        raise DataError(f"{root}: no frame belongs to the part {part!r}", remedy=f"add frames with the part {part}")
    info = DataInfo(root.resolve().name, described.names, described.palette, notes=_unmatched(listing) + notes)
    dataset = PairDataset(chosen, table=described.table(unknown), info=info)
    require_some_label(dataset, part)
    if extra is None:
        return dataset
    images_of = [frame.image for frame in chosen]
    return with_extra_folder(dataset, images_of, root / extra, kinds=extra_kinds, scale=extra_scale)


def assign_frames(
    listing: Listing, root: Path, *, split: str | None, group: str | None
) -> tuple[list[Frame], tuple[str, ...]]:
    """Every frame with its group and part, and what the user must be told about it.

    Raises:
        DataError: if the split names a missing frame, or there are too few groups.
    """
    stems = listing.stems
    guessed = guess_groups(stems) if group is None else groups_by_pattern(stems, group)
    groups = dict(zip(stems, guessed, strict=True))
    parts: dict[str, Part]
    if split == BY_FRAME:
        parts = parts_by_group(stems)
        notes = ("split by single frames: neighbouring frames of one drive or scene may stand in several parts",)
    elif split is None or split == BY_GROUP:
        by_group = parts_by_group(list(groups.values()))
        parts = {stem: by_group[name] for stem, name in groups.items()}
        notes = (_describe_groups(groups, by_group, guessed=group is None),)
    else:
        rows = {row.stem: row for row in read_split(root / split)}
        _require_known(rows, listing, root / split)
        parts = {stem: row.part for stem, row in rows.items()}
        groups |= {stem: row.group for stem, row in rows.items() if row.group is not None}
        notes = _shared_groups(groups, parts)
    frames = [
        Frame(stem, listing.images[stem], listing.masks[stem], groups[stem], parts[stem])
        for stem in stems
        if stem in parts
    ]
    return frames, notes


def require_some_label(dataset: SegmentationDataset, part: Part) -> None:
    """Look for one frame that says something; as a rule the first one does.

    Raises:
        DataError: if every pixel of the part is ignored.
    """
    for index in range(len(dataset)):
        label = dataset[index].label
        if label is not None and bool(torch.any(label != IGNORE_INDEX)):
            return
    raise DataError(
        f"{dataset.info.name}: all labels of the part {part!r} are ignored ({len(dataset)} masks)",
        remedy=f"check `map:` and `ignore:` in {CLASSES_FILE}",
    )


def _read_classes(root: Path, classes: str | Mapping[str, Any] | None) -> Classes:
    if isinstance(classes, Mapping):
        return parse_classes(classes, "data.options.classes")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", remedy="set data.root to the folder that holds images/ and masks/")
    path = root / (classes or CLASSES_FILE)
    return parse_classes(read_yaml(path), str(path))


def _unmatched(listing: Listing) -> tuple[str, ...]:
    pairs = (("image", "mask", listing.images_without_mask), ("mask", "image", listing.masks_without_image))
    return tuple(
        f"{len(stems)} {has}(s) without {lacks} left out, such as {stems[0]}" for has, lacks, stems in pairs if stems
    )


def _describe_groups(groups: Mapping[str, str], parts: Mapping[str, Part], *, guessed: bool) -> str:
    counts = Counter(groups.values())
    listing = "; ".join(
        f"{part}: " + ", ".join(f"{name} ({counts[name]})" for name in sorted(counts) if parts[name] == part)
        for part in ("train", "tune", "report")
    )
    origin = "groups guessed from the file names, set data.options.group to change them" if guessed else "groups"
    return f"{origin}: {listing}"


def _require_known(rows: Mapping[str, SplitRow], listing: Listing, path: Path) -> None:
    missing = sorted(rows.keys() - set(listing.stems))
    if missing:
        raise DataError(
            f"{path}: {len(missing)} listed frame(s) lack an image or a mask, such as {missing[0]!r}",
            remedy="remove the rows or add the files",
        )


def _shared_groups(groups: Mapping[str, str], parts: Mapping[str, Part]) -> tuple[str, ...]:
    found: dict[str, set[Part]] = {}
    for stem, part in parts.items():
        found.setdefault(groups[stem], set()).add(part)
    shared = sorted(name for name, where in found.items() if len(where) > 1)
    if not shared:
        return ()
    return (f"{len(shared)} group(s) stand in more than one part, such as {shared[0]!r}: scores may measure memory",)
