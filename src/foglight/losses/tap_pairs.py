"""Which positions of the student and of the teacher a loss on several features compares.

Either the recipe names them, or the loss has a list of stages, each with the names under which networks know it; a
stage that one of the two networks lacks is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from foglight.types import ModelInfo, Requires


@final
@dataclass(frozen=True)
class TapPair:
    """One position in each network.

    Attributes:
        stage: index into the loss's list of stages, or into the recipe's list of taps.
        student: name of the student's tap.
        teacher: name of the teacher's tap.
    """

    stage: int
    student: str
    teacher: str


def named_pairs(
    taps: Sequence[str] | None, student_taps: Sequence[str] | None, teacher_taps: Sequence[str] | None
) -> list[TapPair] | None:
    """The pairs that a recipe names, None where it names nothing.

    Args:
        taps: of both networks.
        student_taps: where the names differ.
        teacher_taps: where the names differ.

    Raises:
        ValueError: if the two networks' lists do not pair up.

    >>> named_pairs(("layer3", "layer4"), None, ("stages.2", "stages.3"))[1]
    TapPair(stage=1, student='layer4', teacher='stages.3')
    """
    student, teacher = student_taps or taps, teacher_taps or taps
    if student is None and teacher is None:
        return None
    if student is None or teacher is None or len(student) != len(teacher):
        raise ValueError(
            f"expected as many taps of the student as of the teacher, got {student} and {teacher}; name `taps` of both"
        )
    return [TapPair(index, *names) for index, names in enumerate(zip(student, teacher, strict=True))]


def known_pairs(stages: Sequence[Sequence[str]], student: ModelInfo, teacher: ModelInfo) -> list[TapPair]:
    """Of every stage the first name that each network knows.

    Args:
        stages: names by falling preference.
        student: whose taps are looked up.
        teacher: whose taps are looked up.

    Raises:
        ValueError: if the networks share no stage.
    """
    pairs: list[TapPair] = []
    for stage, names in enumerate(stages):
        known = [next((name for name in names if name in network.taps), None) for network in (student, teacher)]
        if known[0] is not None and known[1] is not None:
            pairs.append(TapPair(stage, known[0], known[1]))
    if not pairs:
        wanted = ", ".join(" or ".join(names) for names in stages)
        raise ValueError(f"expected networks with the taps {wanted}; name your own with `student_taps`, `teacher_taps`")
    return pairs


def required_taps(pairs: Sequence[TapPair]) -> Requires:
    """What a loss on these pairs reads of both networks."""
    return Requires(frozenset(pair.student for pair in pairs), frozenset(pair.teacher for pair in pairs), teacher=True)
