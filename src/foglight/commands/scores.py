"""Scores as a table: one column per network, differences from the first one, absent classes as a dash."""

from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table

from foglight.commands.output import plain_table

# What a reader looks at first, and how it is written.
HEADLINES: Final[Mapping[str, str]] = {"miou": "mIoU", "ece_15": "ECE", "nll": "NLL"}
_ROWS: Final[Mapping[str, str]] = {
    "miou": "mIoU",
    "fwiou": "frequency-weighted IoU",
    "mean_f1": "mean F1",
    "pixel_accuracy": "pixel accuracy",
    "class_accuracy": "class accuracy",
    "boundary_iou": "boundary IoU",
    "nll": "NLL, nats",
    "brier": "Brier",
    "ece_15": "ECE, 15 bins",
    "ece_equal_mass": "ECE, equal mass",
    "ece_border": "ECE at borders",
}
# Scores that are no fractions are not written in percent.
_NOT_PERCENT: Final = frozenset({"nll", "brier"})
_DASH: Final = "-"


def figure(scores: Mapping[str, Any], key: str) -> str:
    """One score: fractions in percent; a dash for what is absent.

    >>> figure({"miou": 0.5764, "nll": None}, "miou"), figure({"miou": 0.5764, "nll": None}, "nll")
    ('57.64', '-')
    """
    return _written(scores.get(key), percent=key not in _NOT_PERCENT)


def scores_table(columns: Mapping[str, Mapping[str, Any]]) -> Table:
    """Scores and IoU by class, side by side; with two networks also the second minus the first.

    Args:
        columns: by network, what `SegmentationScores.to_dict()` gives; the teacher first.
    """
    names = list(columns)
    differences = [f"{names[1]} - {names[0]}"] if len(names) == 2 else []
    table = plain_table("in percent, but NLL and Brier", *names, *differences)
    for key, title in _ROWS.items():
        percent = key not in _NOT_PERCENT
        table.add_row(*_row(title, [scores.get(key) for scores in columns.values()], percent=percent))
    table.add_section()
    by_name = [{entry["name"]: entry["iou"] for entry in scores["per_class"]} for scores in columns.values()]
    for name in by_name[0]:
        table.add_row(*_row(f"IoU {name}", [classes.get(name) for classes in by_name], percent=True))
    return table


def _row(title: str, values: list[float | None], *, percent: bool) -> list[str]:
    cells = [title, *(_written(value, percent=percent) for value in values)]
    if len(values) == 2:
        first, second = values
        difference = None if first is None or second is None else second - first
        cells.append(_written(difference, percent=percent, sign="+"))
    return cells


def _written(value: float | None, *, percent: bool, sign: str = "") -> str:
    if value is None:
        return _DASH
    return f"{100 * value:{sign}.2f}" if percent else f"{value:{sign}.4f}"
