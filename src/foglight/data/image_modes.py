"""Images that are not plain 8-bit colour are converted; this says which, and how.

Only headers are read, of at most the first 200 files: enough to tell a folder of thermal or scanned images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from foglight.data.images import SIXTEEN_BIT_MODES

MOST_FILES: Final = 200
_ALPHA: Final = "transparency is dropped"
_GREY: Final = "grey is repeated over the three channels"
CONVERSIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(SIXTEEN_BIT_MODES, f"16-bit values are scaled to 8 bits and {_GREY}"),
    "L": _GREY,
    "1": _GREY,
    "LA": f"{_GREY} and {_ALPHA}",
    "RGBA": _ALPHA,
    "PA": _ALPHA,
    "CMYK": "printing colours are converted to red, green, blue",
    "YCbCr": "converted to red, green, blue",
    "LAB": "converted to red, green, blue",
    "HSV": "converted to red, green, blue",
}


def mode_notes(files: Sequence[Path]) -> tuple[str, ...]:
    """One sentence per kind of image that `read_image` converts; unreadable files are left to whoever reads them."""
    found: dict[str, list[Path]] = {}
    for path in files[:MOST_FILES]:
        conversion = CONVERSIONS.get(_mode(path))
        if conversion is not None:
            found.setdefault(conversion, []).append(path)
    looked = min(len(files), MOST_FILES)
    return tuple(
        f"{len(paths)} of {looked} images looked at, such as {paths[0]}: {conversion}"
        for conversion, paths in found.items()
    )


def _mode(path: Path) -> str:
    try:
        with Image.open(path) as image:
            return image.mode
    except (OSError, SyntaxError, ValueError):
        return ""
