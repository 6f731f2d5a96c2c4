"""Splits written down by the user: which frame belongs to which part, from CSV or JSON.

CSV: a header with the columns `image`, `part` and, if wanted, `group`. JSON: a list of objects with the same keys, or
an object of lists {part: [image, ...]}. An image is named by its stem, with or without suffix. `val` and `validation`
mean tune, `test` means report.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, final

from foglight.data.groups import Part
from foglight.data.images import IMAGE_SUFFIXES
from foglight.errors import DataError

PART_NAMES: Final[Mapping[str, Part]] = {
    "train": "train",
    "tune": "tune",
    "val": "tune",
    "validation": "tune",
    "report": "report",
    "test": "report",
}


@final
@dataclass(frozen=True)
class SplitRow:
    """One frame of a split.

    Attributes:
        stem: of the image.
        part: where it belongs.
        group: None where the file does not say.
    """

    stem: str
    part: Part
    group: str | None = None


def read_split(path: Path) -> tuple[SplitRow, ...]:
    """The rows of a CSV or JSON split.

    Raises:
        DataError: if the file is missing or malformed, a part is unknown, or an image is listed twice.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such split file", remedy="set data.split to a CSV or JSON file, to `group` or to `frame`"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        records = (
            _from_json(json.loads(text)) if path.suffix.lower() == ".json" else list(csv.DictReader(text.splitlines()))
        )
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(
            f"{path}: not a readable split ({error})", remedy="write CSV with the columns image,part[,group]"
        ) from error
    rows = tuple(_row(path, number, record) for number, record in enumerate(records, start=1))
    seen: set[str] = set()
    for row in rows:
        if row.stem in seen:
            raise DataError(f"{path}: {row.stem!r} is listed twice", remedy="keep one row per image")
        seen.add(row.stem)
    return rows


def image_stem(name: str) -> str:
    """An image's name without a known image suffix.

    >>> image_stem("north/a.v2.png"), image_stem("a.v2")
    ('north/a.v2', 'a.v2')
    """
    path = PurePosixPath(name.strip())
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def _from_json(content: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(content, dict):
        return [{"image": image, "part": part} for part, images in content.items() for image in images]
    return [dict(record) for record in content]


def _row(path: Path, number: int, record: Mapping[str, Any]) -> SplitRow:
    image, part, group = (record.get(key) for key in ("image", "part", "group"))
    if not image or not part:
        raise DataError(
            f"{path}: row {number} has no {'part' if image else 'image'}; columns found: {', '.join(map(str, record))}",
            remedy="write the columns image,part[,group]",
        )
    name = str(part).strip().lower()
    if name not in PART_NAMES:
        raise DataError(
            f"{path}: row {number} has the part {part!r}, expected one of {', '.join(PART_NAMES)}",
            remedy="name the parts train, tune and report",
        )
    return SplitRow(image_stem(str(image)), PART_NAMES[name], str(group).strip() if group else None)
