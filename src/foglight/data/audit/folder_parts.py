"""An own folder opened for an audit: whatever can be opened is, whatever cannot is a problem.

Without class names every raw mask value stands as a class of its own, so that the rest of the audit can go on; without
a split that works, all frames are one part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

from foglight.data.audit.frame_facts import raw_counts
from foglight.data.audit.problems import Problem, attempt
from foglight.data.audit.raw_values import RawCounts
from foglight.data.audit.suggestion import suggest_mapping
from foglight.data.classes_file import parse_classes, read_yaml
from foglight.data.dataset import DataInfo
from foglight.data.folder import CLASSES_FILE, Frame, PairDataset, assign_frames
from foglight.data.groups import PARTS
from foglight.data.images import read_mask
from foglight.data.labels import LabelTable, colour_name
from foglight.data.layout import Listing, list_pairs
from foglight.data.palette import default_palette
from foglight.types import IGNORE_INDEX

ALL: Final = "all"


@final
@dataclass(frozen=True)
class FolderParts:
    """What could be opened.

    Attributes:
        parts: by name; empty where there is no pair of image and mask.
        problems: with the folder as a whole.
        suggestion: a class mapping, where the folder brought none.
    """

    parts: dict[str, PairDataset]
    problems: tuple[Problem, ...]
    suggestion: str | None = None


def open_folder(
    root: Path, *, split: str | None, group: str | None, images: str, masks: str, mask_suffix: str
) -> FolderParts:
    """Open as much as possible; the arguments are those of `folder.own_folder`."""
    problems: list[Problem] = []
    classes_file = root / CLASSES_FILE
    classes = attempt("classes", lambda: parse_classes(read_yaml(classes_file), str(classes_file)), problems)
    listing = attempt("folder", partial(list_pairs, root / images, root / masks, mask_suffix=mask_suffix), problems)
    if listing is None:
        return FolderParts({}, tuple(problems))
    problems += _unmatched(listing)
    suggestion = None
    if classes is None:
        table, suggestion = _values_as_classes(listing)
        palette = default_palette(len(table.class_names))
    else:
        palette = classes.palette
        table = LabelTable(classes.names, classes.indices, classes.colours, classes.ignored, classes.ignored_colours)
    assigned = attempt("split", partial(assign_frames, listing, root, split=split, group=group), problems)
    frames, notes = ([], ()) if assigned is None else assigned
    info = DataInfo(root.resolve().name, table.class_names, palette, notes=notes)
    if assigned is None:
        whole = [Frame(stem, listing.images[stem], listing.masks[stem], stem, "train") for stem in listing.stems]
        return FolderParts({ALL: PairDataset(whole, table=table, info=info)}, tuple(problems), suggestion)
    by_part = {part: [frame for frame in frames if frame.part == part] for part in PARTS}
    problems += [
        Problem("split", f"{root}: no frame belongs to the part {part!r}", f"add frames with the part {part}")
        for part, members in by_part.items()
        if not members
    ]
    parts = {part: PairDataset(members, table=table, info=info) for part, members in by_part.items() if members}
    return FolderParts(parts, tuple(problems), suggestion)


def _unmatched(listing: Listing) -> Iterator[Problem]:
    for stem in listing.images_without_mask:
        yield Problem(
            "unmatched", f"{listing.images[stem]}: an image without a mask", "add the mask or remove the image"
        )
    for stem in listing.masks_without_image:
        yield Problem(
            "unmatched", f"{listing.masks[stem]}: a mask without an image", "add the image or remove the mask"
        )


def _values_as_classes(listing: Listing) -> tuple[LabelTable, str | None]:
    """A table in which each raw value is a class of its own name, and a mapping to suggest."""
    raw = RawCounts({}, {})
    for stem in listing.stems:
        mask = attempt("unreadable", partial(read_mask, listing.masks[stem]), [])
        if mask is not None:
            raw += RawCounts({}, raw_counts(mask)) if mask.colour else RawCounts(raw_counts(mask), {})
    raw = raw.as_read_by(LabelTable(()))
    colour = bool(raw.colours)
    values = sorted(raw.colours if colour else raw.indices)[:IGNORE_INDEX]
    if not colour and len(values) > 2:
        values = [value for value in values if value != IGNORE_INDEX]
    names = tuple(colour_name(value) if colour else str(value) for value in values)
    meaning = {value: index for index, value in enumerate(values)}
    table = LabelTable(names, indices={} if colour else meaning, colours=meaning if colour else {}, unknown="ignore")
    return table, suggest_mapping(raw.colours if colour else raw.indices, colour=colour)
