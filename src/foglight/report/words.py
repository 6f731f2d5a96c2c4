"""What a report says first: who taught whom on which data, what was measured, and how far that carries."""

from collections import Counter

from foglight.report.numbers import count, percent, signed
from foglight.report.records import Arm, Report


def headline(report: Report) -> tuple[str, str, str]:
    """Three sentences: what was done, what was measured, and what it does not show."""
    # A figure and its unit stay on one line.
    what, result, caution = (
        text.replace(" %", "\N{NO-BREAK SPACE}%") for text in (_what(report), _result(report), _caution(report))
    )
    return what, result, caution


def compared(report: Report) -> tuple[Arm, ...]:
    """The students that are compared: neither a teacher nor the baseline."""
    return tuple(arm for arm in report.arms if arm.role in ("distilled", "trained"))


def miou(arm: Arm | None) -> float | None:
    """Of an arm; None where it was not scored."""
    return None if arm is None or arm.raw is None else arm.raw["miou"]


def kept_share(report: Report, arm: Arm) -> float | None:
    """The arm's mIoU over its teacher's; None where either is unknown or the teacher's is 0.

    A student without a teacher of its own is held against the only teacher of the report.
    """
    teachers = [other for other in report.arms if other.role == "teacher"]
    teacher = report.arm(arm.teacher) if arm.teacher else teachers[0] if len(teachers) == 1 else None
    own, whole = miou(arm), miou(teacher)
    return None if own is None or not whole or teacher is arm else own / whole


def _what(report: Report) -> str:
    distilled = [arm for arm in report.arms if arm.role == "distilled"]
    if not distilled:
        students = _joined([_sized(arm) for arm in _distinct(list(report.arms))])
        return f"{students} trained on {report.data} by labels alone; no run of this report has a teacher."
    teachers = _distinct([arm for arm in report.arms if arm.role == "teacher"])
    taught = _joined([_sized(arm) for arm in _distinct(distilled)])
    return f"{_joined([_sized(arm) for arm in teachers])} distilled into {taught}, on {report.data}."


def _result(report: Report) -> str:
    baseline = report.arm(report.baseline) if report.baseline else None
    said = [_one_result(report, arm, baseline) for arm in compared(report)]
    if baseline is not None:
        said = [f"{_alone(report, baseline)} reaches {percent(miou(baseline))} % mIoU", *said]
    said = said or [_one_result(report, arm, None) for arm in report.arms]
    return f"On the {report.frames} frames of the report part, {', '.join(said)}."


def _one_result(report: Report, arm: Arm, baseline: Arm | None) -> str:
    own, alone = miou(arm), miou(baseline)
    if own is None:
        return f"{arm.title} could not be scored"
    beside = [] if alone is None else [_difference(own - alone)]
    share = kept_share(report, arm)
    if share is not None and arm.role == "distilled":
        beside.append(f"{percent(share)} % of the teacher's")
    words = f"{arm.title} reaches {percent(own)} % mIoU"
    return f"{words} ({', '.join(beside)})" if beside else words


def _difference(value: float) -> str:
    written = signed(100 * value, digits=1)
    match written[0]:
        case "+":
            return f"{written[1:]} points more"
        case "−":
            return f"{written[1:]} points less"
        case _:
            return "the same to 0.1 points"


def _alone(report: Report, baseline: Arm) -> str:
    same = {arm.network for arm in report.arms if arm.role == "distilled"} == {baseline.network}
    return f"the same student alone ({baseline.title})" if same and baseline.teacher is None else baseline.title


def _caution(report: Report) -> str:
    students = [arm for arm in report.arms if arm.role != "teacher"]
    seeds = {arm.seed for arm in students if arm.seed is not None}
    repeats = Counter((arm.network, arm.method) for arm in students).most_common(1)
    if len(seeds) > 1 and repeats and repeats[0][1] > 1:
        named = ", ".join(str(seed) for seed in sorted(seeds))
        return f"Each column is one run (seeds {named}); no interval is given here, so do not read a small difference."
    which = f" (seed {next(iter(seeds))})" if len(seeds) == 1 else ""
    return f"One run each{which}: another seed moves these figures too; a difference no larger than that is no gain."


def _sized(arm: Arm) -> str:
    return arm.network if arm.parameters is None else f"{arm.network} ({count(arm.parameters)} parameters)"


def _distinct(arms: list[Arm]) -> list[Arm]:
    return list({(arm.network, arm.parameters): arm for arm in arms}.values())


def _joined(words: list[str]) -> str:
    return "; ".join(words) if any("," in word for word in words) else " and ".join(words)
