"""The tables of nuImages: which masks a frame has, and how they become its label.

Tables are JSON lists of records that name each other by token. Only what a label needs is kept, so that a table of many
gigabytes of masks is held once while it is read.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from jaxtyping import UInt8

from foglight.data.run_length import decode_base64_mask
from foglight.errors import DataError

EGO: Final = "vehicle.ego"
MEND: Final = "get the tables again: `foglight fetch-data nuimages` says how"


@final
@dataclass(frozen=True)
class WrittenMask:
    """One mask.

    Attributes:
        token: of the record, for messages.
        category: name.
        size: height and width in pixels.
        counts: base64 of the run lengths.
    """

    token: str
    category: str
    size: tuple[int, int]
    counts: str


@final
@dataclass(frozen=True)
class Painting:
    """One frame and its masks, in the order in which they are painted.

    Attributes:
        id: the file's stem.
        image: file.
        group: the log that it was taken in.
        version: whose tables name it.
        size: height and width in pixels.
        masks: later ones cover earlier ones.
    """

    id: str
    image: Path
    group: str
    version: str
    size: tuple[int, int]
    masks: tuple[WrittenMask, ...]

    def paint(self, class_names: Sequence[str], *, uncovered: int) -> UInt8[np.ndarray, "H W"]:
        """The label.

        Raises:
            DataError: if a category is unknown, or a mask is damaged or of another size than the frame.
        """
        index = {name: number for number, name in enumerate(class_names)}
        label = np.full(self.size, uncovered, np.uint8)
        for mask in self.masks:
            where = f"{self.version}, annotation {mask.token} of {self.id}"
            if mask.category not in index:
                raise DataError(f"{where}: unknown category {mask.category!r}", remedy=MEND)
            if mask.size != self.size:
                (height, width), (own_height, own_width) = mask.size, self.size
                raise DataError(
                    f"{where}: the mask is {width}x{height} pixels, its image {own_width}x{own_height}", remedy=MEND
                )
            try:
                label[decode_base64_mask(mask.counts, mask.size)] = index[mask.category]
            except ValueError as error:
                raise DataError(f"{where}: the mask cannot be decoded ({error})", remedy=MEND) from error
        return label


def read_tables(root: Path, version: str) -> list[Painting]:
    """Every labelled frame of a version, by the name of its file.

    Raises:
        DataError: if a table is missing, damaged, or names a record that is not there.
    """
    folder = root / version
    try:
        categories = {record["token"]: record["name"] for record in _table(folder, "category")}
        logs = {record["token"]: record["logfile"] for record in _table(folder, "log")}
        samples = {record["key_camera_token"]: logs[record["log_token"]] for record in _table(folder, "sample")}
        surfaces = _masks(folder, "surface_ann", categories)
        objects = _masks(folder, "object_ann", categories)
        frames = [record for record in _table(folder, "sample_data") if record["token"] in samples]
        paintings = [_painting(root, version, record, samples, surfaces, objects) for record in frames]
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder}: the tables do not fit together, {error} is missing", remedy=MEND) from error
    return sorted((painting for painting in paintings if painting.masks), key=lambda painting: painting.id)


def _painting(
    root: Path,
    version: str,
    record: Mapping[str, Any],
    logs: Mapping[str, str],
    surfaces: Mapping[str, Sequence[WrittenMask]],
    objects: Mapping[str, Sequence[WrittenMask]],
) -> Painting:
    token = record["token"]
    ordered = sorted(objects.get(token, ()), key=lambda mask: mask.token)
    # The development kit paints its own car as a surface only.
    masks = (*surfaces.get(token, ()), *(mask for mask in ordered if mask.category != EGO))
    image = root / record["filename"]
    return Painting(image.stem, image, logs[token], version, (record["height"], record["width"]), masks)


def _masks(folder: Path, name: str, categories: Mapping[str, str]) -> dict[str, list[WrittenMask]]:
    found: dict[str, list[WrittenMask]] = defaultdict(list)
    for record in _table(folder, name):
        mask = record["mask"]
        if mask is not None:
            height, width = mask["size"]
            found[record["sample_data_token"]].append(
                WrittenMask(record["token"], categories[record["category_token"]], (height, width), mask["counts"])
            )
    return found


def _table(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.json"
    if not path.is_file():
        raise DataError(f"{path}: no such table", remedy=MEND)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error})", remedy=MEND) from error
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of records", remedy=MEND)
    return content
