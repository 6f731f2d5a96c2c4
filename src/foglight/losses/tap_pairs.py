"""Which feature of the student follows which feature of the teacher.

A loss names one tap or several; `tap` holds for both networks, `student_tap` and `teacher_tap` where the names differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from foglight.types import Requires

Taps = str | tuple[str, ...]


@final
@dataclass(frozen=True)
class TapPair:
    """A position of the student and the position of the teacher that it follows."""

    student: str
    teacher: str


def tap_pairs(tap: Taps, student_tap: Taps | None, teacher_tap: Taps | None) -> tuple[TapPair, ...]:
    """The pairs, in order.

    Raises:
        ValueError: if no tap is named, or not as many of the student as of the teacher.

    >>> tap_pairs("head", None, "decoder")
    (TapPair(student='head', teacher='decoder'),)
    """
    students = _as_tuple(tap if student_tap is None else student_tap)
    teachers = _as_tuple(tap if teacher_tap is None else teacher_tap)
    if not students or len(students) != len(teachers):
        raise ValueError(
            f"expected one tap of the teacher for each of the student, got {list(students)} and {list(teachers)}"
        )
    return tuple(TapPair(*names) for names in zip(students, teachers, strict=True))


def reads(pairs: Sequence[TapPair]) -> Requires:
    """What a loss over these pairs requires."""
    return Requires(
        student_taps=frozenset(pair.student for pair in pairs),
        teacher_taps=frozenset(pair.teacher for pair in pairs),
        teacher=True,
    )


def _as_tuple(taps: Taps) -> tuple[str, ...]:
    return (taps,) if isinstance(taps, str) else taps
