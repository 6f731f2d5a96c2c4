"""A picture to look at before training: a few frames of each part, each above its coloured label.

Class colours are the data set's; ignored pixels are black, frames without a mask have a grey field.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from foglight.atomic import write_atomically
from foglight.data.dataset import Colour, SegmentationDataset
from foglight.data.sample import Sample
from foglight.errors import DataError

CAPTION: Final = 14
GAP: Final = 4
BACKGROUND: Final = (255, 255, 255)
UNLABELLED: Final = (160, 160, 160)


def write_contact_sheet(
    path: Path, parts: Mapping[str, SegmentationDataset], *, per_part: int = 6, height: int = 120
) -> None:
    """Write a PNG with one row of frames per part; frames that cannot be read are left out.

    Args:
        path: of the PNG.
        parts: by name.
        per_part: frames of each part, evenly spread over it.
        height: of an image in pixels.

    Raises:
        ValueError: if `per_part` or `height` is not positive.
    """
    if per_part < 1 or height < 1:
        raise ValueError(f"expected per_part and height of at least 1, got {per_part} and {height}")
    rows = [(name, _cells(dataset, per_part, height)) for name, dataset in parts.items()]
    row_height = CAPTION + 2 * height + 2 * GAP
    width = max((sum(cell.width + GAP for cell in cells) for _, cells in rows), default=0)
    sheet = Image.new("RGB", (max(width, row_height), row_height * max(len(rows), 1)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (name, cells) in enumerate(rows):
        draw.text((0, number * row_height), f"{name} ({len(parts[name])} frames)", fill=(0, 0, 0))
        left = 0
        for cell in cells:
            sheet.paste(cell, (left, number * row_height + CAPTION))
            left += cell.width + GAP
    write_atomically(path, lambda file: sheet.save(file, format="PNG"))


def colour_label(label: Integer[Tensor, "H W"], palette: tuple[Colour, ...]) -> UInt8[Tensor, "H W 3"]:
    """A label in its classes' colours, black where ignored."""
    colours = torch.zeros((256, 3), dtype=torch.uint8)
    colours[: len(palette)] = torch.tensor(palette, dtype=torch.uint8).view(-1, 3)
    return colours[label.long()]


def _cells(dataset: SegmentationDataset, count: int, height: int) -> list[Image.Image]:
    chosen = sorted({index * len(dataset) // count for index in range(count)}) if len(dataset) else []
    cells: list[Image.Image] = []
    for index in chosen:
        try:
            cells.append(_cell(dataset[index], dataset.info.palette, height))
        except DataError:
            # The audit lists it; the sheet shows what there is to see.
            continue
    return cells


def _cell(sample: Sample, palette: tuple[Colour, ...], height: int) -> Image.Image:
    rows, columns = sample.size
    size = (max(1, round(columns * height / rows)), height)
    cell = Image.new("RGB", (size[0], 2 * height + GAP), UNLABELLED)
    picture = Image.fromarray(sample.image.permute(1, 2, 0).numpy())
    cell.paste(picture.resize(size, Image.Resampling.BILINEAR), (0, 0))
    cell.paste(BACKGROUND, (0, height, size[0], height + GAP))
    if sample.labelled and sample.label is not None:
        label = Image.fromarray(np.ascontiguousarray(colour_label(sample.label, palette).numpy()))
        cell.paste(label.resize(size, Image.Resampling.NEAREST), (0, height + GAP))
    return cell
