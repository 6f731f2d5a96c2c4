"""The logits of both networks on one grid.

Either on the student's own grid, or both upsampled to the label's (the image's where there is no label). Corners are
aligned as each network says; one channel becomes two classes.

Shapes: b batch, k classes, *grid any grid (none for classification).
Cost: one resized map per network whose grid is another.
"""

from jaxtyping import Float
from torch import Tensor

from foglight.functional.binary import at_least_two_classes
from foglight.functional.resize import resize
from foglight.types import Batch, Grid, ModelInfo, ModelOutput

Corners = tuple[bool, bool]


def corners_of(student: ModelInfo, teacher: ModelInfo) -> Corners:
    """How the logits of either network are resized.

    >>> corners_of(ModelInfo(2, 8, align_corners=True), ModelInfo(2, 8))
    (True, False)
    """
    return student.align_corners, teacher.align_corners


def paired_logits(
    student: ModelOutput, teacher: ModelOutput, batch: Batch, *, corners: Corners, grid: Grid = "head"
) -> tuple[Float[Tensor, "b k *grid"], Float[Tensor, "b k *grid"]]:
    """The student's and the teacher's, of the same shape.

    Args:
        student: keeps its grid where `grid` is head.
        teacher: is brought to the same grid.
        batch: says which grid the label's is.
        corners: whether either network's corners are aligned.
        grid: the student's, or the label's.
    """
    size = student.logits.shape[2:]
    if grid == "label" and size:
        size = batch.image.shape[2:] if batch.label is None else batch.label.shape[1:]
    return (
        resize(at_least_two_classes(student.logits), size, align_corners=corners[0]),
        resize(at_least_two_classes(teacher.logits), size, align_corners=corners[1]),
    )
