"""Do tables and headline say what was measured: signs, directions, order, dashes?"""

import pytest

from foglight.report.records import Report
from foglight.report.tables import class_rows, score_rows
from foglight.report.words import headline
from report.builders import arm, report

ALONE = {"road": 0.5, "car": 0.25, "tram": None}
BETTER = {"road": 0.4, "car": 0.50, "tram": None}


def compared(miou: float = 0.5, nll: float = 0.8, **changes: object) -> Report:
    teacher = arm("big", "teacher", 0.8, ALONE)
    alone = arm("alone", "baseline", 0.4, ALONE)
    kd = arm("kd", "distilled", miou, BETTER, nll=nll, teacher="big", **changes)
    return report(teacher, alone, kd)


def row(shown: Report, title: str) -> list[tuple[str, str, str]]:
    found = next(row for row in score_rows(shown) if row.title == title)
    return [(cell.text, cell.difference, cell.verdict) for cell in found.cells]


def test_a_difference_is_judged_by_its_direction() -> None:
    """A larger mIoU is better, a larger NLL is worse; teacher and baseline have no difference."""
    assert row(compared(), "mIoU") == [("80.0", "", ""), ("40.0", "", ""), ("50.0", "+10.0", "better")]
    assert row(compared(), "NLL, raw")[2] == ("0.800", "−0.200", "better")
    assert row(compared(nll=1.3), "NLL, raw")[2] == ("1.300", "+0.300", "worse")
    assert row(compared(miou=0.40001), "mIoU")[2] == ("40.0", "0.0", "")


def test_the_share_of_the_teacher_is_of_its_miou() -> None:
    assert [text for text, _, _ in row(compared(), "share of the teacher's mIoU")] == ["–", "50.0", "62.5"]


def test_classes_are_sorted_by_gain_and_absent_ones_are_dashes() -> None:
    rows = class_rows(compared())
    assert [entry.name for entry in rows] == ["car", "road", "tram"]
    assert [cell.text for cell in rows[2].cells] == ["–", "–", "–"]
    assert [cell.difference for cell in rows[0].cells] == ["", "", "+25.0"]


@pytest.mark.parametrize(
    ("miou", "words"), [(0.5, "10.0 points more"), (0.31, "9.0 points less"), (0.4002, "the same to 0.1 points")]
)
def test_the_headline_says_what_was_measured(miou: float, words: str) -> None:
    what, result, caution = headline(compared(miou=miou))
    assert what == "lite_s distilled into lite_s, on fogtown."
    assert words in result
    assert "the same student alone (alone) reaches 40.0" in result
    assert "One run each (seed 0)" in caution


def test_a_report_without_any_teacher_claims_no_distillation() -> None:
    what, result, _ = headline(report(arm("ce", "trained", 0.4, ALONE)))
    assert "by labels alone" in what
    assert "points" not in result
