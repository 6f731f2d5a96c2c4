"""Masks and overlays as pictures; a mask file says by whom it was made, so that work can be resumed.

    overlay = (1 - alpha) image + alpha palette[mask]

The mark is a text chunk of the PNG, before its pixels: reading it costs one header.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from foglight.atomic import write_atomically
from foglight.functional.row_budget import rows_within_budget

Palette = Sequence[tuple[int, int, int]]
_MARK: Final = "foglight"


def mask_image(mask: UInt8[Tensor, "H W"], palette: Palette) -> Image.Image:
    """A palette image whose values are class indices."""
    image = Image.fromarray(mask.numpy(), mode="P")
    image.putpalette([channel for colour in palette for channel in colour])
    return image


def overlay_image(
    image: UInt8[Tensor, "3 H W"], mask: UInt8[Tensor, "H W"], palette: Palette, *, alpha: float
) -> Image.Image:
    """The mask's colours over the image, `alpha` of them."""
    colours = np.asarray(palette, dtype=np.float32)
    pixels, indices = image.permute(1, 2, 0).numpy(), mask.numpy()
    result = np.empty_like(pixels, order="C")
    # In strips, because floats of a large image take many times what its bytes take.
    rows = rows_within_budget(3 * mask.shape[1], bytes_per_number=4, matrices=4)
    for top in range(0, len(result), rows):
        strip = slice(top, top + rows)
        mixed = (1 - alpha) * pixels[strip].astype(np.float32) + alpha * colours[indices[strip]]
        result[strip] = mixed.round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(result)


def write_picture(path: Path, image: Image.Image, *, mark: str = "") -> None:
    """A PNG, atomically, with the mark of who made it."""
    text = PngInfo()
    if mark:
        text.add_text(_MARK, mark)
    write_atomically(path, lambda file: image.save(file, format="PNG", pnginfo=text))


def mark_of(path: Path) -> str:
    """Who made a picture; nothing where there is no such picture or it does not say."""
    try:
        with Image.open(path) as image:
            return str(image.info.get(_MARK, ""))
    except (OSError, SyntaxError, ValueError):
        return ""
