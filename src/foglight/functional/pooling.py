"""Maps on the smaller of two grids by averaging, and maps as sets of points.

Adaptive average: entry i of the new grid is the mean of the old rows floor(i*h/H) to ceil((i+1)*h/H) - 1, likewise for
columns; per axis the smaller side of the two maps is taken.

Shapes: b batch, c channels, *grid two axes or none (a vector), n points of d numbers each.
Source: mdistiller, RepDistiller (AT, FT, NST, VID: the larger map is pooled to the smaller one).
Changed: sides are compared per axis (the published code pools to a square).
Cost: one map of the smaller grid.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Points = Literal["pooled", "flattened", "grid"]


def as_map(feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c h w"]:
    """A vector becomes a map of one position; a map stays what it is."""
    return feature if feature.ndim == 4 else feature.reshape(*feature.shape[:2], 1, -1)


def average_to(feature: Float[Tensor, "b c *grid"], size: Sequence[int]) -> Float[Tensor, "b c *size"]:
    """Adaptive average pooling; the very same tensor when the grid is that already.

    >>> import torch
    >>> average_to(torch.tensor([[[[0.0, 2.0]]]]), (1, 1))
    tensor([[[[1.]]]])
    """
    if tuple(feature.shape[2:]) == tuple(size):
        return feature
    rows, columns = size
    return F.adaptive_avg_pool2d(feature, (rows, columns))


def pool_to_smaller(
    student: Float[Tensor, "b c *student_grid"], teacher: Float[Tensor, "b d *teacher_grid"]
) -> tuple[Float[Tensor, "b c *grid"], Float[Tensor, "b d *grid"]]:
    """Both features on the grid that has, per axis, the smaller number of positions."""
    size = [min(ours, theirs) for ours, theirs in zip(student.shape[2:], teacher.shape[2:], strict=True)]
    return average_to(student, size), average_to(teacher, size)


def as_points(
    student: Float[Tensor, "b c *student_grid"],
    teacher: Float[Tensor, "b d *teacher_grid"],
    points: Points,
    *,
    grid: int,
) -> tuple[Float[Tensor, "n student_d"], Float[Tensor, "n teacher_d"]]:
    """The points of either network among which relations are measured, one for one.

    Args:
        student: a map or a vector.
        teacher: of the same images.
        points: the mean of every image (n = b); every image as one long vector (n = b); or the cells of a grid laid
            over every image (n = b*grid^2).
        grid: cells along each axis, at most the smaller map's sides.
    """
    if points == "flattened":
        return student.flatten(1), teacher.flatten(1)
    if points == "pooled":
        return _pooled(student), _pooled(teacher)
    sides = zip(as_map(student).shape[2:], as_map(teacher).shape[2:], strict=True)
    size = [min(grid, *pair) for pair in sides]
    return _cells(student, size), _cells(teacher, size)


def _pooled(feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c"]:
    return as_map(feature).mean((2, 3))


def _cells(feature: Float[Tensor, "b c *grid"], size: Sequence[int]) -> Float[Tensor, "n c"]:
    return average_to(as_map(feature), size).flatten(2).transpose(1, 2).flatten(0, 1)
