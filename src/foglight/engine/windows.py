r"""Overlapping windows over an image, whose values are averaged in strips of rows that are finished one after another.

    q(x) = (1 / |W(x)|) sum over w in W(x) of q_w(x)          W(x): the windows that cover pixel x

Windows are visited row by row. As soon as no window to come reaches a row, that row is handed out and forgotten, so
that the sums of an image of any height take the same memory. Without gradients: the sums are reused.

Symbols: k channels, height and width of the window, W columns of the image, step = int(height (1 - overlap)) rows.
Cost: at most 4 (k + 1) W (height + step) bytes of float32 here, beside what one window's forward takes; every pixel is
seen about 1 / (1 - overlap)^2 times.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

# Values "b k height width" of the window at these rows and columns.
SeenThroughWindow = Callable[[slice, slice], Tensor]


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin so that they cover `length` and the last one ends at its end.

    >>> window_starts(10, 4, 0.5)
    [0, 2, 4, 6]
    >>> window_starts(3, 4, 0.5)
    [0]
    """
    if length <= window:
        return [0]
    step = max(int(window * (1 - overlap)), 1)
    starts = list(range(0, length - window, step))
    return [*starts, length - window]


def averaged_strips(
    seen: SeenThroughWindow, size: tuple[int, int], *, window: tuple[int, int], overlap: float
) -> Iterator[tuple[int, Float[Tensor, "b k rows W"]]]:
    """The mean over windows, in strips from top to bottom, each with its first row.

    Args:
        seen: what is said through one window.
        size: height and width of the image.
        window: its height and width; a window larger than the image is cut to it.
        overlap: share of a window that neighbours share, in [0, 1).

    >>> strips = averaged_strips(lambda rows, columns: torch.ones(1, 1, 4, 5), (10, 5), window=(4, 8), overlap=0.25)
    >>> [(top, list(strip.shape), float(strip.mean())) for top, strip in strips]
    [(0, [1, 1, 3, 5], 1.0), (3, [1, 1, 3, 5], 1.0), (6, [1, 1, 4, 5], 1.0)]
    """
    high, wide = min(window[0], size[0]), min(window[1], size[1])
    tops, lefts = window_starts(size[0], high, overlap), window_starts(size[1], wide, overlap)
    total: Tensor | None = None
    count = torch.zeros(())
    for top, following in zip(tops, [*tops[1:], size[0]], strict=True):
        for left in lefts:
            columns = slice(left, left + wide)
            values = seen(slice(top, top + high), columns)
            if total is None:
                total = values.new_zeros((*values.shape[:2], high, size[1]))
                count = values.new_zeros((1, 1, high, size[1]))
            total[..., columns] += values
            count[..., columns] += 1
        if total is not None:
            finished = following - top
            yield top, total[:, :, :finished] / count[:, :, :finished]
            for sums in (total, count):
                _move_up(sums, finished)


def _move_up(values: Tensor, rows: int) -> None:
    height = values.shape[2]
    # A part of at most `rows` rows never overlaps where it goes, so nothing needs to be copied twice.
    for start in range(0, height - rows, rows):
        stop = min(start + rows, height - rows)
        values[:, :, start:stop] = values[:, :, start + rows : stop + rows]
    values[:, :, height - rows :] = 0
