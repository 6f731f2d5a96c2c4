"""Tensors as pictures that a page carries inside itself: data URIs, at most 400 pixels wide.

Photographs are JPEG; everything with few colours is a palette PNG. Labels are thinned out by the nearest pixel, never
mixed, so that every colour on the page is one of the legend's.
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.resize import resize_label
from foglight.report.records import Picture

MAX_WIDTH: Final = 400
JPEG_QUALITY: Final = 82
# Of a map of numbers: a palette holds 256 colours, one of which is that of an ignored pixel.
LEVELS: Final = 255
# A map that is zero everywhere is dark, not divided by zero.
DARKEST_SCALE: Final = 1e-12
IGNORED: Final = (0, 0, 0)
UNLABELLED: Final = (160, 160, 160)

# Of the fixed/broken map; the green and red are told apart by colour-blind eyes too.
BOTH_RIGHT, BOTH_WRONG, FIXED, BROKEN, NOTHING_SAID = range(5)
CHANGE_COLOURS: Final = ((236, 236, 236), (150, 150, 150), (0, 158, 115), (213, 60, 0), (40, 40, 40))
CHANGE_WORDS: Final = ("both right", "both wrong", "fixed", "broken", "ignored")
RIGHT, WRONG, NOT_SCORED = range(3)
ERROR_COLOURS: Final = ((236, 236, 236), (213, 60, 0), (40, 40, 40))
ERROR_WORDS: Final = ("right", "wrong", "ignored")


def changes(
    label: Integer[Tensor, "H W"],
    prediction: Integer[Tensor, "H W"],
    reference: Integer[Tensor, "H W"],
    *,
    ignore_index: int,
) -> UInt8[Tensor, "H W"]:
    """What a prediction mends and spoils against a reference's.

    >>> truth, student = torch.tensor([[1, 1, 1, 1, 255]]), torch.tensor([[1, 2, 1, 2, 1]])
    >>> alone = torch.tensor([[1, 3, 2, 1, 1]])
    >>> [CHANGE_WORDS[index] for index in changes(truth, student, alone, ignore_index=255)[0]]
    ['both right', 'both wrong', 'fixed', 'broken', 'ignored']
    """
    right, was_right = prediction == label, reference == label
    result = torch.full_like(label, BOTH_WRONG, dtype=torch.uint8)
    result[right & was_right] = BOTH_RIGHT
    result[right & ~was_right] = FIXED
    result[~right & was_right] = BROKEN
    result[label == ignore_index] = NOTHING_SAID
    return result


def errors(
    label: Integer[Tensor, "H W"], prediction: Integer[Tensor, "H W"], *, ignore_index: int
) -> UInt8[Tensor, "H W"]:
    """Where a prediction is wrong."""
    result = (prediction != label).to(torch.uint8)
    result[label == ignore_index] = NOT_SCORED
    return result


def share(indices: UInt8[Tensor, "H W"], index: int, *, ignored: int) -> float | None:
    """The share of the scored pixels that have that index; None without a scored pixel."""
    scored = int((indices != ignored).sum())
    return int((indices == index).sum()) / scored if scored else None


def photo(title: str, image: UInt8[Tensor, "3 H W"]) -> Picture:
    """A photograph from bytes."""
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    return _encoded(title, _reduced(picture, Image.Resampling.BOX), "JPEG")


def index_picture(
    title: str, indices: Integer[Tensor, "H W"], colours: Sequence[tuple[int, int, int]], *, caption: str = ""
) -> Picture:
    """A map of indices in their colours; what has no colour (an ignored pixel) is black."""
    height, width = indices.shape
    if width > MAX_WIDTH:
        indices = resize_label(indices[None], (max(round(height * MAX_WIDTH / width), 1), MAX_WIDTH))[0]
    known = torch.where((indices >= 0) & (indices < len(colours)), indices, len(colours)).to(torch.uint8)
    picture = Image.fromarray(known.numpy(), mode="P")
    picture.putpalette([channel for colour in (*colours, IGNORED) for channel in colour])
    return _encoded(title, picture, "PNG", caption=caption)


def blank_picture(title: str, size: tuple[int, int], *, caption: str) -> Picture:
    """A grey field of that height and width, where there is nothing to show."""
    return index_picture(title, torch.zeros(size, dtype=torch.int64), [UNLABELLED], caption=caption)


def heat_picture(title: str, values: Float[Tensor, "H W"], *, brightest: float, caption: str = "") -> Picture:
    """A map of numbers from dark (0) to bright."""
    levels = (values / max(brightest, DARKEST_SCALE) * (LEVELS - 1)).round().clamp(0, LEVELS - 1).long()
    colours = (matplotlib.colormaps["magma"](np.linspace(0, 1, LEVELS))[:, :3] * 255).round().astype(int).tolist()
    return index_picture(title, levels, [(red, green, blue) for red, green, blue in colours], caption=caption)


def thumbnail(values: Float[Tensor, "H W"]) -> Float[Tensor, "h w"]:
    """A map of numbers at the size of its picture, averaged over what a pixel covers."""
    height, width = values.shape
    if width <= MAX_WIDTH:
        return values
    return F.interpolate(values[None, None], (max(round(height * MAX_WIDTH / width), 1), MAX_WIDTH), mode="area")[0, 0]


def stored_picture(title: str, path: Path, *, widest: int = 1250, as_photo: bool = False) -> Picture:
    """A picture file, made smaller where it is wider than `widest` pixels."""
    with Image.open(path) as opened:
        picture = _reduced(opened.convert("RGB"), Image.Resampling.LANCZOS, widest=widest)
    return _encoded(title, picture, "JPEG" if as_photo else "PNG")


def _reduced(picture: Image.Image, resampling: Image.Resampling, *, widest: int = MAX_WIDTH) -> Image.Image:
    width, height = picture.size
    if width <= widest:
        return picture
    return picture.resize((widest, max(round(height * widest / width), 1)), resampling)


def _encoded(title: str, picture: Image.Image, kind: str, *, caption: str = "") -> Picture:
    content = BytesIO()
    if kind == "JPEG":
        picture.save(content, format=kind, quality=JPEG_QUALITY)
    else:
        picture.save(content, format=kind, optimize=True)
    uri = f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
    return Picture(title, uri, picture.size, caption)
