"""Bilinear resizing of one image's map as two small matrices, a strip of the new grid's rows at a time.

U z = R (z C'),   U' g = (R' g) C

Symbols: z a map (k h w), g one of the new grid (k H W), R (H h) and C (W w) the rows and the columns of the resize as
matrices, ' the transpose; a strip of new rows reads a band of old ones.
Source: the identity is exact; `resize` itself makes R and C, so that both agree on every convention.
Changed: rows come first in memory, (h k W) and (H k W), which makes a strip one product of two plain matrices.
Cost: R, C and one image's map at (h, W); whoever works strip by strip holds `STRIP_BUDGET` bytes of strips at most.
"""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.resize import resize
from foglight.functional.row_budget import rows_within_budget

# Bytes of all maps of a strip's size that are alive at once: about a core's cache.
STRIP_BUDGET: Final = 4 * 2**20


@final
@dataclass(frozen=True)
class Strip:
    """Neighbouring rows of the new grid.

    Attributes:
        where: these rows.
        band: the rows of the old grid that they read.
        rows: the part of R that belongs to both.
    """

    where: slice
    band: slice
    rows: Float[Tensor, "strip band"]

    def upsample(self, wide: Float[Tensor, "h k W"]) -> Float[Tensor, "strip k W"]:
        """These rows of the resized map."""
        return (self.rows @ wide[self.band].flatten(1)).unflatten(1, wide.shape[1:])

    def add_transposed(self, slope: Float[Tensor, "strip k W"], total: Float[Tensor, "h k W"]) -> None:
        """Add to `total` what a gradient on these rows is on the old ones."""
        total[self.band].flatten(1).addmm_(self.rows.T, slope.flatten(1))


@final
@dataclass(frozen=True)
class Upsampling:
    """A resize, ready for one image after the other.

    Attributes:
        strips: that make up the new grid.
        columns: C; None where the old grid has as many columns as the new one.
    """

    strips: tuple[Strip, ...]
    columns: Float[Tensor, "W w"] | None

    def widened(self, values: Float[Tensor, "k h w"]) -> Float[Tensor, "h k W"]:
        """The new columns of the old rows, z C'."""
        rows_first = values.movedim(1, 0)
        return rows_first.contiguous() if self.columns is None else rows_first @ self.columns.T

    def narrowed(self, total: Float[Tensor, "h k W"]) -> Float[Tensor, "k h w"]:
        """The transpose of `widened`."""
        return (total if self.columns is None else total @ self.columns).movedim(0, 1)


def upsampling(
    values: Float[Tensor, "b k h w"], size: tuple[int, int], *, align_corners: bool, matrices: int
) -> Upsampling:
    """The resize of every image of a batch, cut into strips.

    Args:
        values: of the shape, type and device of what is resized.
        size: rows and columns of the new grid.
        align_corners: as of `resize`.
        matrices: maps of a strip's size that are alive at once.

    >>> cut = upsampling(torch.zeros(1, 1, 2, 2), (4, 4), align_corners=True, matrices=1)
    >>> [(strip.where, strip.band) for strip in cut.strips]
    [(slice(0, 4, None), slice(0, 2, None))]
    """
    (_, classes, h, w), (height, width) = values.shape, size
    rows = _resize_matrix(h, height, values.dtype, align_corners=align_corners)
    at_once = rows_within_budget(
        classes * width, bytes_per_number=values.element_size(), matrices=matrices, budget=STRIP_BUDGET
    )
    strips: list[Strip] = []
    for start in range(0, height, at_once):
        where = slice(start, min(start + at_once, height))
        read = rows[where].any(dim=0).nonzero().flatten().tolist()
        band = slice(read[0], read[-1] + 1)
        strips.append(Strip(where, band, rows[where, band].to(values.device)))
    columns = _resize_matrix(w, width, values.dtype, align_corners=align_corners).to(values.device)
    return Upsampling(tuple(strips), None if w == width else columns)


def _resize_matrix(old: int, new: int, dtype: torch.dtype, *, align_corners: bool) -> Float[Tensor, "new old"]:
    return resize(torch.eye(old, dtype=dtype)[None, None], (new, old), align_corners=align_corners)[0, 0]
