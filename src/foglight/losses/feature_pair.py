"""One feature map of the student beside one of the teacher, on the same grid.

f_T' = resize(f_T, grid of f_S), bilinear without aligned corners; channels may differ.

Shapes: f_S (b c h w), f_T (b d h' w').
Source: the one way of this project to resize features; published code expects equal grids.
Cost: one copy of the teacher's feature where the grids differ.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor

from foglight.functional.resize import resize
from foglight.losses.expect import expect_teacher
from foglight.types import ModelInfo, ModelOutput, Requires, TapInfo


@final
class FeaturePair:
    """Which taps are compared, and how the two features are got.

    Args:
        student: what the student is.
        teacher: what the teacher is.
        loss: the name of the loss that compares them, for messages.
        student_tap: of the student.
        teacher_tap: of the teacher.

    Raises:
        ValueError: if there is no teacher, a network lacks its tap, or a tap has no grid.
    """

    def __init__(
        self, student: ModelInfo, teacher: ModelInfo | None, loss: str, *, student_tap: str, teacher_tap: str
    ) -> None:
        teacher = expect_teacher(teacher, loss)
        self.loss = loss
        self.student_tap = student_tap
        self.teacher_tap = teacher_tap
        self.channels = (
            _with_grid(student.tap(student_tap), student_tap, loss).channels,
            _with_grid(teacher.tap(teacher_tap), teacher_tap, loss).channels,
        )
        self.requires = Requires(frozenset([student_tap]), frozenset([teacher_tap]), teacher=True)

    def __call__(
        self, student: ModelOutput, teacher: ModelOutput | None
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b d h w"]]:
        """The student's feature, and the teacher's without graph on the student's grid."""
        ours = student.features[self.student_tap]
        theirs = expect_teacher(teacher, self.loss).features[self.teacher_tap].detach()
        return ours, resize(theirs, ours.shape[2:], align_corners=False)


def _with_grid(tap: TapInfo, name: str, loss: str) -> TapInfo:
    if tap.stride == 0:
        raise ValueError(f"expected a tap with a grid for `{loss}`, got the vector {name!r}; name a feature map")
    return tap
