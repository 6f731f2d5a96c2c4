"""Images and masks from disk, with one clear line where a file is not what it should be.

Images come as RGB bytes: grey is repeated over the three channels, 16-bit is scaled by 255 / 65535, transparency is
dropped. Masks come as raw integers: the index of a palette (P) or grey (L, I, 1) mask, red * 65536 + green * 256 + blue
of a colour mask. What the raw integers mean is the business of `labels`. Both are turned as their EXIF orientation
says, which is how viewers and labelling tools show them.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Int32, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from foglight.errors import DataError

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
SIXTEEN_BIT_MODES: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")
BYTE_MAX: Final = 255
SIXTEEN_BIT_MAX: Final = 65535


@final
@dataclass(frozen=True)
class RawMask:
    """A mask before its values have a meaning.

    Attributes:
        values: indices, or colours as red * 65536 + green * 256 + blue.
        colour: which of the two.
    """

    values: Int32[Tensor, "H W"]
    colour: bool


def read_image(path: Path) -> UInt8[Tensor, "3 H W"]:
    """An image file as RGB bytes.

    Raises:
        DataError: if the file is missing, is no image, or is cut short.
    """
    with _open(path, "image") as image:
        if image.mode in SIXTEEN_BIT_MODES:
            grey = _from_sixteen_bit(np.asarray(image))
            pixels = np.repeat(grey[..., None], 3, axis=2)
        elif image.mode == "F":
            raise DataError(f"{path}: an image of floats", remedy="save it as 8-bit or 16-bit PNG")
        else:
            # A palette may carry transparency, which only RGBA can take over.
            pixels = np.array((image.convert("RGBA") if image.mode == "P" else image).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_mask(path: Path) -> RawMask:
    """A mask file as raw integers.

    Raises:
        DataError: if the file is missing, is no image, is cut short, or holds neither indices nor colours.
    """
    with _open(path, "mask") as image:
        if image.mode == "1":
            image = image.convert("L").point([int(value > 0) for value in range(256)])
        if image.mode in ("P", "L", *SIXTEEN_BIT_MODES):
            return RawMask(torch.from_numpy(np.asarray(image).astype(np.int32)), colour=False)
        if image.mode in ("RGB", "RGBA"):
            return RawMask(pack_colours(np.array(image.convert("RGB"))), colour=True)
        raise DataError(
            f"{path}: expected a mask with indices (PNG modes P, L, I;16) or colours (RGB), got mode {image.mode}",
            remedy="save the mask as an 8-bit PNG of class indices",
        )


def pack_colours(pixels: NDArray[np.uint8]) -> Int32[Tensor, "H W"]:
    """Colours as one integer per pixel: red * 65536 + green * 256 + blue.

    >>> hex(int(pack_colours(np.array([[[128, 64, 0]]], dtype=np.uint8))))
    '0x804000'
    """
    red, green, blue = np.moveaxis(pixels.astype(np.int32), 2, 0)
    return torch.from_numpy((red << 16) | (green << 8) | blue)


def require_same_size(image_path: Path, image: Tensor, mask_path: Path, mask: Tensor) -> None:
    """Refuse a mask that does not cover its image pixel by pixel.

    Raises:
        DataError: if the sizes differ.
    """
    if image.shape[-2:] != mask.shape[-2:]:
        (height, width), (mask_height, mask_width) = image.shape[-2:], mask.shape[-2:]
        raise DataError(
            f"{mask_path}: the mask is {mask_width}x{mask_height} pixels, its image {image_path} is {width}x{height}",
            remedy="export the mask at the size of its image (nearest neighbour), or remove the pair",
        )


def _open(path: Path, what: str) -> Image.Image:
    if not path.is_file():
        raise DataError(f"{path}: no such {what} file", remedy="check data.root and the names in the split")
    try:
        # From memory: a damaged file must not leave an open handle behind.
        image = Image.open(BytesIO(path.read_bytes()))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: more pixels than {what}s are read with ({' '.join(str(error).split())})",
            remedy="cut it into tiles",
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "it is in no known format" if unknown else " ".join(str(error).split())
        raise DataError(
            f"{path}: cannot be read as {what} ({reason})",
            remedy="the file is damaged, cut short or no image: write it again or remove it",
        ) from error
    return image


def _from_sixteen_bit(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    # In place in 32 bits, which hold 65535 * 255: large scans would take many times their size in 64.
    scaled = np.clip(values, 0, SIXTEEN_BIT_MAX).astype(np.uint32)
    scaled *= BYTE_MAX
    scaled //= SIXTEEN_BIT_MAX
    return scaled.astype(np.uint8)
