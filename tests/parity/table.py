"""The parity table: family, cases, worst value error, worst gradient error; and what was skipped, by family.

Results travel as `user_properties` of the test reports, which xdist hands from its workers to the controller.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

PROPERTY = "parity"


def row(family: str, *, value: float | None, gradient: float | None, passed: bool) -> dict[str, Any]:
    return {"family": family, "value": value, "gradient": gradient, "passed": passed}


def skipped_row(family: str, method: str | None) -> dict[str, Any]:
    return {"family": family, "skipped": method}


class ParityTable:
    """Collects the rows of all cases, prints them at the end and writes them to a file."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        self.rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.rows.extend(value for name, value in report.user_properties if name == PROPERTY)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        families = self.families()
        skipped = Counter(entry["family"] for entry in self.rows if "skipped" in entry)
        if families or skipped:
            terminalreporter.section("parity with published code (relative errors)")
            terminalreporter.write_line(f"{'family':<24}{'cases':>6}{'failed':>8}{'value':>12}{'gradient':>12}")
        for entry in families:
            terminalreporter.write_line(
                f"{entry['family']:<24}{entry['cases']:>6}{entry['failed']:>8}"
                f"{_number(entry['worst_value_error']):>12}{_number(entry['worst_gradient_error']):>12}"
            )
        if skipped:
            listed = ", ".join(f"{family} ({count})" for family, count in sorted(skipped.items()))
            terminalreporter.write_line(f"skipped, method not in the registry: {listed}")
        if self.file is not None:
            Path(self.file).write_text(json.dumps({"families": families, "skipped": skipped}, indent=2) + "\n")

    def families(self) -> list[dict[str, Any]]:
        """One entry per family, in alphabetical order."""
        rows = [entry for entry in self.rows if "skipped" not in entry]
        return [
            _summary(family, [entry for entry in rows if entry["family"] == family])
            for family in sorted({entry["family"] for entry in rows})
        ]


def _summary(family: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    def worst(kind: str) -> float | None:
        return max((entry[kind] for entry in rows if entry[kind] is not None), default=None)

    return {
        "family": family,
        "cases": len(rows),
        "failed": sum(not entry["passed"] for entry in rows),
        "worst_value_error": worst("value"),
        "worst_gradient_error": worst("gradient"),
    }


def _number(error: float | None) -> str:
    return "-" if error is None else f"{error:.1e}"
