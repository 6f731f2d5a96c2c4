"""A preflight in words, for terminals and logs."""

from collections.abc import Iterator

from foglight.engine.preflight_record import Preflight


def in_short(seen: Preflight) -> Iterator[str]:
    """What a training run says of it: the terms, the teacher, the time and the memory."""
    terms = ", ".join(
        f"{term.name} {term.value:.3g} x {term.weight:g} ({100 * term.weighted_share:.0f} %)" for term in seen.terms
    )
    yield f"terms    {terms} of the student's gradient"
    if seen.teacher_miou is not None:
        figures = f"{percent(seen.teacher_miou)}, the untrained student's {percent(seen.untrained_student_miou)}"
        yield f"teacher  mIoU {figures}, on a slice of the tune part"
    if seen.mc_dropout:
        listed = ", ".join(f"{dropout.name} {dropout.rate:g}" for dropout in seen.active_dropouts)
        yield f"dropout  active between image and logits: {listed or 'none'}"
    yield f"cost     {cost_in_words(seen)}"


def cost_in_words(seen: Preflight) -> str:
    """Time to the end and the highest memory."""
    cost = seen.cost
    return (
        f"{cost.wall_seconds_per_step:.3g} s per step, {cost.steps} steps in about {duration(cost.eta_seconds)}; "
        f"at most {cost.peak_memory_bytes / 1e6:.0f} MB ({cost.memory_is})"
    )


def duration(seconds: float) -> str:
    """In the unit that a person would choose.

    >>> duration(42.4), duration(150.0), duration(5400.0), duration(200_000.0)
    ('42 s', '2.5 min', '1.5 h', '2.3 days')
    """
    for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length or (unit == "h" and seconds >= length):
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def percent(miou: float | None) -> str:
    """As in every table; a dash where there is none."""
    return "-" if miou is None else f"{100 * miou:.1f}"
