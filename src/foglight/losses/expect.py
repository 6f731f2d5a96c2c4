"""What a loss needs and may not get, said in one sentence each."""

from typing import TypeVar

from foglight.types import ModelInfo, ModelOutput

Teacher = TypeVar("Teacher", ModelInfo, ModelOutput)


def expect_teacher(teacher: Teacher | None, loss: str) -> Teacher:
    """The teacher that is there.

    Raises:
        ValueError: if there is none.
    """
    if teacher is None:
        raise ValueError(f"expected a teacher for `{loss}`, got none; name one by `--teacher`, or leave the loss out")
    return teacher


def expect_same_classes(student: ModelInfo, teacher: ModelInfo, loss: str) -> None:
    """Both networks tell the same classes apart.

    Raises:
        ValueError: if they do not.
    """
    if student.num_classes != teacher.num_classes:
        raise ValueError(
            f"expected as many classes in the student as in the teacher for `{loss}`, got {student.num_classes} and "
            f"{teacher.num_classes}; distil features instead, or train the teacher on the student's classes"
        )


def expect_positive(value: float, name: str) -> None:
    """A number above zero.

    Raises:
        ValueError: if it is not.
    """
    if not value > 0:
        raise ValueError(f"expected {name} > 0, got {value}")
