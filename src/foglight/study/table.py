"""The table of a study in Markdown: every figure with its spread, every difference with its interval and its word."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from foglight.study.fixed import Fixed
from foglight.study.load import Planned
from foglight.study.schema import MAIN_METRIC
from foglight.study.statistics import EQUIVALENCE, LEVEL, Difference, Spread
from foglight.study.summary import Arm, Column, Compared, Summary

_TITLES: Final = {
    "miou": "mIoU",
    "fwiou": "frequency-weighted IoU",
    "mean_f1": "mean F1",
    "pixel_accuracy": "pixel accuracy",
    "class_accuracy": "class accuracy",
    "boundary_iou": "boundary IoU",
    "nll": "NLL",
    "brier": "Brier",
    "ece_15": "ECE",
    "ece_equal_mass": "ECE, equal mass",
    "ece_border": "ECE at borders",
}
# Scores that are no fractions are not written in percent.
_NOT_PERCENT: Final = frozenset({"nll", "brier"})
_DASH: Final = "-"


def study_table(planned: Planned, fixed: Fixed, summary: Summary) -> str:
    """The whole page."""
    blocks = [f"# {planned.study.title}", _about(planned, fixed, summary)]
    blocks += [f"> {note}" for note in planned.study.notes]
    for part in planned.parts:
        blocks += [f"## Scores, {part}{_frames(summary, part)}", *(f"> {note}" for note in summary.notes[part])]
        blocks.append(_scores(summary, part))
    for part in planned.parts:
        rows = [compared for compared in summary.compared if compared.column.part == part]
        if rows:
            blocks += [
                f"## Differences by seed, {part}",
                _differences(summary, part, rows, seeds=len(planned.study.seeds)),
            ]
    if summary.compared:
        blocks.append(_about_intervals(planned, summary))
    return "\n\n".join(blocks) + "\n"


def _about(planned: Planned, fixed: Fixed, summary: Summary) -> str:
    total = len(summary.runs) + len(summary.missing)
    seeds = ", ".join(map(str, planned.study.seeds))
    state = f"{len(summary.runs)} of {total} runs finished"
    if summary.missing:
        state += f" (missing: {', '.join(map(str, summary.missing))})"
    return (
        f"{state}. Seeds {seeds}. Mean ± standard deviation over seeds, in percent but for NLL (nats) and Brier. "
        "Seconds per step were measured by turns before the first run. `scaled`: under one temperature per run, fitted "
        f"on the tune part. Study {fixed.digest[:12]}, fixed before the first run."
    )


def _about_intervals(planned: Planned, summary: Summary) -> str:
    parts = len(planned.parts)
    return (
        f"Intervals are Student's t over seeds at a nominal {100 * LEVEL:.0f} %, for {len(planned.study.comparisons)} "
        f"comparisons on {parts} part(s) and {len(summary.columns)} scores in all, not corrected for their number. "
        "They are about seeds, not about other images. Equivalent: the whole interval within "
        f"±{100 * EQUIVALENCE:g} points of mIoU; gain or loss: the interval leaves 0 out; undecided: anything else."
    )


def _frames(summary: Summary, part: str) -> str:
    return f" ({summary.frames[part]} frames)" if part in summary.frames else ""


def _scores(summary: Summary, part: str) -> str:
    columns = [column for column in summary.columns if column.part == part]
    head = ["arm", "seeds", "steps", "s per step", *map(_title, columns), "T"]

    def row(arm: Arm) -> Iterator[str]:
        yield arm.title
        yield str(len(arm.seeds))
        yield str(arm.steps)
        yield _DASH if arm.seconds_per_step is None else f"{arm.seconds_per_step:.4f}"
        for column in columns:
            yield _spread(arm.scores[column], _writer(column), of=len(arm.seeds))
        yield _spread(arm.temperatures[part], lambda value: f"{value:.3f}", of=len(arm.seeds))

    return _markdown(head, [list(row(arm)) for arm in (*summary.teachers, *summary.arms)])


def _differences(summary: Summary, part: str, rows: Sequence[Compared], *, seeds: int) -> str:
    columns = [column for column in summary.columns if column.part == part]
    titles = {arm.name: arm.title for arm in summary.arms}

    def cell(compared: Compared | None, column: Column) -> str:
        if compared is None:
            return _DASH
        word = f"**{compared.verdict}**" if column.metric == MAIN_METRIC else compared.verdict
        return f"{_difference(compared.difference, _writer(column, signed=True), of=seeds)} {word}"

    found = {(compared.arm, compared.against, compared.column): compared for compared in rows}
    body = [
        [f"{titles[arm]} − {titles[against]}", *(cell(found.get((arm, against, column)), column) for column in columns)]
        for arm, against in dict.fromkeys((compared.arm, compared.against) for compared in rows)
    ]
    return _markdown(["difference", *map(_title, columns)], body)


def _title(column: Column) -> str:
    return f"{_TITLES[column.metric]}{' scaled' if column.scaled else ''}"


def _writer(column: Column, *, signed: bool = False) -> Callable[[float], str]:
    sign = "+" if signed else ""
    if column.metric in _NOT_PERCENT:
        return lambda value: f"{value:{sign}.4f}"
    return lambda value: f"{100 * value:{sign}.2f}"


def _spread(over: Spread | None, write: Callable[[float], str], *, of: int) -> str:
    """Mean and spread; with their number where not all of the seeds have this score."""
    if over is None:
        return _DASH
    written = write(over.mean) if over.sd is None else f"{write(over.mean)} ± {write(over.sd)}"
    return written if over.seeds == of else f"{written} ({over.seeds} of {of})"


def _difference(over: Difference, write: Callable[[float], str], *, of: int) -> str:
    """Mean and interval; with their number where not all of the seeds have both scores."""
    few = "" if over.seeds == of else f" ({over.seeds} of {of})"
    if over.low is None or over.high is None:
        return f"{write(over.mean)}{few}"
    return f"{write(over.mean)} [{write(over.low)}, {write(over.high)}]{few}"


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *body))
