"""Bilinear resizing as two small matrices, a strip of the new grid's rows at a time, and its transpose.

(U z)[strip] = R[strip, band] (z[band] C'),  (U' g)[band] += (R[strip, band]' g[strip]) C

Symbols: z a map (b k h w), g one of the new grid (b k H W), R (H h) and C (W w) the rows and columns of the resize as
matrices, ' the transpose, band the rows of z that a strip of new rows reads.
Source: the identity is exact; `resize` itself makes R and C, so that both agree on every convention.
Cost: R and C; whoever works strip by strip holds b*k*W numbers per row of a strip, `STRIP_BUDGET` bytes at most.
"""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.resize import resize
from foglight.functional.row_budget import rows_within_budget

# Bytes of all maps of a strip's size that are alive at once: a few times a core's cache, where the pass is fastest.
STRIP_BUDGET: Final = 8 * 2**20


@final
@dataclass(frozen=True)
class Strip:
    """Neighbouring rows of the new grid.

    Attributes:
        where: these rows.
        band: the rows of the old grid that they read.
        rows: the part of R that belongs to both.
        columns: all of C; None where the old grid has as many columns as the new one.
    """

    where: slice
    band: slice
    rows: Float[Tensor, "strip band"]
    columns: Float[Tensor, "W w"] | None

    def upsample(self, values: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k strip W"]:
        """These rows of the resized map."""
        wide = values[:, :, self.band]
        return self.rows @ (wide if self.columns is None else wide @ self.columns.T)

    def add_transposed(self, slope: Float[Tensor, "b k strip W"], total: Float[Tensor, "b k h w"]) -> None:
        """Add to `total` what a gradient on these rows is on the old grid."""
        low = self.rows.T @ slope
        total[:, :, self.band] += low if self.columns is None else low @ self.columns


def strips(
    values: Float[Tensor, "b k h w"], size: tuple[int, int], *, align_corners: bool, matrices: int
) -> list[Strip]:
    """The new grid cut into strips.

    Args:
        values: of the shape, type and device of what is resized.
        size: rows and columns of the new grid.
        align_corners: as of `resize`.
        matrices: maps of a strip's size that are alive at once.

    >>> [(strip.where, strip.band) for strip in strips(torch.zeros(1, 1, 2, 2), (4, 4), align_corners=True, matrices=1)]
    [(slice(0, 4, None), slice(0, 2, None))]
    """
    (images, classes, h, w), (height, width) = values.shape, size
    rows = _resize_matrix(h, height, values.dtype, align_corners=align_corners)
    columns = _resize_matrix(w, width, values.dtype, align_corners=align_corners).to(values.device)
    at_once = rows_within_budget(
        images * classes * width,
        bytes_per_number=values.element_size(),
        matrices=matrices,
        budget=STRIP_BUDGET,
    )
    found: list[Strip] = []
    for start in range(0, height, at_once):
        where = slice(start, min(start + at_once, height))
        read = rows[where].any(dim=0).nonzero().flatten().tolist()
        band = slice(read[0], read[-1] + 1)
        found.append(Strip(where, band, rows[where, band].to(values.device), None if w == width else columns))
    return found


def _resize_matrix(old: int, new: int, dtype: torch.dtype, *, align_corners: bool) -> Float[Tensor, "new old"]:
    return resize(torch.eye(old, dtype=dtype)[None, None], (new, old), align_corners=align_corners)[0, 0]
