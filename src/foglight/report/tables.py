"""The two tables of a report: scores with differences from the baseline, and IoU by class sorted by gain.

A difference is coloured by whether it is better, not by its sign: an NLL that falls is better. Absent classes are
dashes and come last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, final

from foglight.report.numbers import DASH, count, percent, plain, signed
from foglight.report.records import Arm, Report
from foglight.report.words import compared, kept_share

Better = Literal["higher", "lower"]


@final
@dataclass(frozen=True)
class Cell:
    """One figure.

    Attributes:
        text: the figure.
        difference: from the baseline, empty where there is none.
        verdict: better, worse or empty.
    """

    text: str
    difference: str = ""
    verdict: Literal["better", "worse", ""] = ""


@final
@dataclass(frozen=True)
class Row:
    """One line of the table of scores.

    Attributes:
        title: of the figure.
        unit: and which way is better.
        cells: one per arm.
    """

    title: str
    unit: str
    cells: tuple[Cell, ...]


@final
@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        name: of the class.
        colour: as CSS.
        share: of the labelled pixels of the report part.
        cells: IoU by arm, in the order of the report's arms.
        gain: of the arm that the rows are sorted by, None where undefined.
    """

    name: str
    colour: str
    share: str
    cells: tuple[Cell, ...]
    gain: float | None


@final
@dataclass(frozen=True)
class _Score:
    title: str
    unit: str
    better: Better
    digits: int
    scale: float
    read: Callable[[Arm], float | None]


def _raw(key: str) -> Callable[[Arm], float | None]:
    return lambda arm: None if arm.raw is None else arm.raw.get(key)


def _scaled(key: str) -> Callable[[Arm], float | None]:
    return lambda arm: None if arm.scaled is None else arm.scaled.get(key)


_SCORES: Final = (
    _Score("mIoU", "%, higher is better", "higher", 1, 100.0, _raw("miou")),
    _Score("pixel accuracy", "%, higher is better", "higher", 1, 100.0, _raw("pixel_accuracy")),
    _Score("boundary IoU", "%, higher is better", "higher", 1, 100.0, _raw("boundary_iou")),
    _Score("NLL, raw", "nats, lower is better", "lower", 3, 1.0, _raw("nll")),
    _Score("NLL, temperature-scaled", "nats, lower is better", "lower", 3, 1.0, _scaled("nll")),
    _Score("Brier, raw", "0 to 2, lower is better", "lower", 3, 1.0, _raw("brier")),
    _Score("Brier, temperature-scaled", "0 to 2, lower is better", "lower", 3, 1.0, _scaled("brier")),
    _Score("ECE, raw", "%, 15 bins, lower is better", "lower", 1, 100.0, _raw("ece_15")),
    _Score("ECE, temperature-scaled", "%, 15 bins, lower is better", "lower", 1, 100.0, _scaled("ece_15")),
)


def score_rows(report: Report) -> tuple[Row, ...]:
    """Parameters, scores and what calibration took, one column per arm."""
    baseline = report.arm(report.baseline) if report.baseline else None
    parameters = Row("parameters", "", tuple(Cell(count(arm.parameters)) for arm in report.arms))
    kept = Row("share of the teacher's mIoU", "%", tuple(Cell(percent(kept_share(report, arm))) for arm in report.arms))
    fitted = tuple(Cell(plain(arm.temperature, digits=2)) for arm in report.arms)
    scores = [
        Row(score.title, score.unit, tuple(_cell(score, arm, baseline) for arm in report.arms)) for score in _SCORES
    ]
    temperature = Row("temperature", "fitted on the tune part; above 1: was too sure", fitted)
    return (parameters, scores[0], kept, *scores[1:], temperature)


def _cell(score: _Score, arm: Arm, baseline: Arm | None) -> Cell:
    value = score.read(arm)
    text = DASH if value is None else plain(score.scale * value, digits=score.digits)
    reference = None if baseline is None or arm is baseline or arm.role == "teacher" else score.read(baseline)
    if value is None or reference is None:
        return Cell(text)
    return Cell(text, *_difference(score.scale * (value - reference), score.digits, score.better))


def _difference(value: float, digits: int, better: Better) -> tuple[str, Literal["better", "worse", ""]]:
    text = signed(value, digits=digits)
    if text[0] not in "+−":
        return text, ""
    return text, "better" if (text[0] == "+") == (better == "higher") else "worse"


def sorting(report: Report) -> tuple[Arm | None, Arm | None]:
    """The arm whose gain by class sorts the table, and the arm that it is a gain over."""
    baseline = report.arm(report.baseline) if report.baseline else None
    students = [arm for arm in compared(report) if arm.raw is not None]
    first = next((arm for arm in students if arm.role == "distilled"), students[0] if students else None)
    if baseline is not None:
        return first, baseline
    if first is None or first.teacher is None:
        return first, None
    return first, report.arm(first.teacher)


def class_rows(report: Report) -> tuple[ClassRow, ...]:
    """Every class, the largest gain first; absent ones last, in the data set's order."""
    first, reference = sorting(report)
    pixels = _label_pixels(report)
    total = sum(pixels)
    rows: list[ClassRow] = []
    for index, name in enumerate(report.class_names):
        gain = (
            None if first is None else _gain(_iou(first, index), None if reference is None else _iou(reference, index))
        )
        cells = tuple(_class_cell(arm, reference, index) for arm in report.arms)
        colour = "rgb({} {} {})".format(*report.palette[index])
        rows.append(ClassRow(name, colour, percent(pixels[index] / total if total else None), cells, gain))
    return tuple(sorted(rows, key=lambda row: (row.gain is None, -(row.gain or 0.0))))


def _class_cell(arm: Arm, reference: Arm | None, index: int) -> Cell:
    iou = _iou(arm, index)
    if reference is None or arm is reference or arm.role == "teacher":
        return Cell(percent(iou))
    gain = _gain(iou, _iou(reference, index))
    return Cell(percent(iou)) if gain is None else Cell(percent(iou), *_difference(100 * gain, 1, "higher"))


def _iou(arm: Arm, index: int) -> float | None:
    return None if arm.raw is None else arm.raw["per_class"][index]["iou"]


def _gain(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value - reference


def _label_pixels(report: Report) -> list[int]:
    scored = next((arm.raw for arm in report.arms if arm.raw is not None), None)
    return [0] * len(report.class_names) if scored is None else [entry["pixels"] for entry in scored["per_class"]]
