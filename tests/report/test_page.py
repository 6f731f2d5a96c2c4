"""Is the page one file that needs nothing else, cannot be injected into, and says what is missing?"""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from typing import final

import pytest

from foglight.report.charts import MOST_POINTS, line_chart, reliability_chart, thinned
from foglight.report.html import render
from foglight.report.records import Report
from report.builders import arm, report, scores

HOSTILE = '<script>alert("x")</script>'
IOUS = {"road": 0.5, "car": 0.25, "tram": None}


@final
class Outside(HTMLParser):
    """Collects everything on a page that could load or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "iframe", "object", "embed", "base", "form"):
            self.found.append(tag)
        for name, value in attrs:
            loads = name in ("src", "href", "srcset", "action", "data", "poster")
            if name.startswith("on") or (loads and not (value or "").startswith("data:")):
                self.found.append(f"{tag} {name}={value}")


def hostile_report() -> Report:
    ious = {HOSTILE: 0.5, "car": 0.25, "tram": None}
    arms = (arm("alone", "baseline", 0.4, ious), arm(HOSTILE, "distilled", 0.5, ious, notes=(HOSTILE,)))
    return report(*arms, names=(HOSTILE, "car", "tram"), notes=(HOSTILE,), data=HOSTILE, frame_rule=HOSTILE)


def test_names_from_outside_cannot_become_markup() -> None:
    """A class, a folder and a note called <script> are text on the page, in its tables, charts and titles."""
    page = render(hostile_report())
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 8


def test_the_page_loads_and_runs_nothing() -> None:
    parser = Outside()
    page = render(hostile_report())
    parser.feed(page)
    assert parser.found == []
    style = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)[0]
    assert not re.search(r"@import|url\(|expression", style)
    assert len(re.findall(r"<style", page)) == 1


def test_the_same_report_is_the_same_page() -> None:
    assert render(hostile_report()) == render(hostile_report())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strips": ()}, "pictures were not asked for, or no network could be loaded"),
        ({"uncertainties": ()}, "no uncertainty was measured"),
        ({"curves": ()}, "No run was scored on the tune part while training"),
        ({"preflights": ()}, "it was switched off"),
        ({"contact_sheet": None}, "No contact sheet"),
    ],
)
def test_what_is_missing_is_said(changes: dict[str, object], words: str) -> None:
    assert words in render(report(arm("kd", "distilled", 0.5, IOUS), **changes))


def test_without_a_baseline_the_page_says_that_it_shows_no_gain() -> None:
    page = render(report(arm("kd", "distilled", 0.5, IOUS)))
    assert "no figure says what distillation changed" in page
    assert 'class="difference' not in page


def test_charts_are_well_formed_whatever_the_names() -> None:
    """A chart is XML by itself, with hostile labels, a single point and values far apart."""
    chart = line_chart({HOSTILE: [(1, 1e-6), (2, 1e3)], "one": [(1, 2.0)], "bad": [(1, float("nan"))]}, label=HOSTILE)
    root = ElementTree.fromstring(chart)
    assert len(root.findall("polyline")) == 2
    assert len(root.findall("circle")) == 1
    assert "script" not in {element.tag for element in root.iter()}
    ElementTree.fromstring(reliability_chart(scores(0.5, IOUS)["reliability"], label=HOSTILE))


def test_a_long_log_is_thinned_out_and_keeps_both_ends() -> None:
    line = [(step, float(step)) for step in range(10_000)]
    kept = thinned(line)
    assert (len(kept), kept[0], kept[-1]) == (MOST_POINTS, line[0], line[-1])
