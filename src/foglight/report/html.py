"""One self-contained page from a report: no link, no script, no font; class and file names are escaped.

The same report gives the same bytes.
"""

from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from foglight.atomic import write_atomically
from foglight.report.charts import COLOURS, line_chart, reliability_chart
from foglight.report.numbers import DASH, count, duration, percent, plain
from foglight.report.pictures import CHANGE_COLOURS, CHANGE_WORDS, ERROR_COLOURS, ERROR_WORDS
from foglight.report.records import Arm, Curves, Report
from foglight.report.tables import class_rows, score_rows, sorting
from foglight.report.words import headline

TEMPLATE: Final = "page.html.j2"
STYLE: Final = "style.css"
ROLES: Final = {"teacher": "teacher", "baseline": "student alone", "distilled": "distilled", "trained": "labels alone"}


def render(report: Report) -> str:
    """The page's text."""
    # A template with this ending would not be escaped by jinja's own rule, which looks at the file's name.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "plain": plain, "count": count, "duration": duration}
    folder = resources.files("foglight.report")
    template = environment.from_string((folder / TEMPLATE).read_text(encoding="utf-8"))
    first, reference = sorting(report)
    return template.render(
        report=report,
        style=Markup((folder / STYLE).read_text(encoding="utf-8")),
        headline=headline(report),
        roles=ROLES,
        score_rows=score_rows(report),
        class_rows=class_rows(report),
        sorted_by=first,
        gain_over=reference,
        tune_chart=_tune_chart(report.curves),
        term_charts=[_term_chart(curves) for curves in report.curves],
        reliability=[(arm, *_reliability(arm)) for arm in report.arms if arm.raw is not None],
        legends={
            "change": list(zip(CHANGE_WORDS, CHANGE_COLOURS, strict=True)),
            "error": list(zip(ERROR_WORDS, ERROR_COLOURS, strict=True)),
        },
        dash=DASH,
        colours=COLOURS,
    )


def write_page(report: Report, path: Path) -> None:
    """Write the page, whole or not at all."""
    content = render(report).encode()
    write_atomically(path, lambda file: file.write(content))


def _tune_chart(curves: tuple[Curves, ...]) -> tuple[Markup, tuple[str, ...]] | None:
    lines = {curve.arm: [(step, 100 * value) for step, value in curve.tune] for curve in curves if curve.tune}
    return (line_chart(lines, label="mIoU on the tune part by step"), tuple(lines)) if lines else None


def _term_chart(curves: Curves) -> tuple[str, Markup | None, tuple[str, ...]]:
    lines = {name: line for name, line in curves.terms.items() if line}
    if len(lines) > 1 and len(set(lines.values())) == 1:
        # A single term of weight one and the total are the same line twice.
        del lines["total"]
    chart = line_chart(lines, label=f"loss terms of {curves.arm} by step") if lines else None
    return curves.arm, chart, tuple(lines)


def _reliability(arm: Arm) -> tuple[Markup, Markup | None]:
    if arm.raw is None:
        raise ValueError(f"expected the scores of {arm.title}, got none")
    raw = reliability_chart(arm.raw["reliability"], label=f"reliability of {arm.title}, raw")
    if arm.scaled is None:
        return raw, None
    return raw, reliability_chart(arm.scaled["reliability"], label=f"reliability of {arm.title}, temperature-scaled")
