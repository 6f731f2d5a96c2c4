"""One tap or several, of both networks or named apart, as pairs in order.

A recipe says `tap: head`, `tap: [layer3, layer4]`, or `student_tap` and `teacher_tap` where the names differ.
"""

from foglight.losses.tap_pairs import TapPair, named_pairs

Taps = str | tuple[str, ...]


def paired_taps(tap: Taps, student_tap: Taps | None, teacher_tap: Taps | None) -> list[TapPair]:
    """The pairs that a recipe names.

    Raises:
        ValueError: if no tap is named, or not as many of the student as of the teacher.

    >>> paired_taps("head", None, "decoder")
    [TapPair(stage=0, student='head', teacher='decoder')]
    """
    several, students, teachers = (
        (taps,) if isinstance(taps, str) else taps for taps in (tap, student_tap, teacher_tap)
    )
    pairs = named_pairs(several, students, teachers)
    if not pairs:
        raise ValueError(f"expected at least one tap, got {tap!r}")
    return pairs
