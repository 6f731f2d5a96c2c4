"""A study from its file to its table: fix, measure, train the teachers, train the arms, compare.

The same call again goes on where it stopped; finished runs are not repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.atomic import write_atomically, write_json
from foglight.engine.progress import Progress, Silent
from foglight.provenance import provenance
from foglight.study.fixed import Fixed, fix, read_fixed
from foglight.study.jobs import Job, arm_jobs, teacher_jobs
from foglight.study.load import Planned, load_study
from foglight.study.schedule import do_all
from foglight.study.statistics import EQUIVALENCE, LEVEL, Spread
from foglight.study.summary import Arm, Column, Summary, summarise
from foglight.study.table import study_table

TABLE: Final = "table.md"
RECORD: Final = "study.json"


@final
@dataclass(frozen=True)
class StudyResult:
    """What a study has shown so far.

    Attributes:
        folder: of the study.
        table: in Markdown.
        record: everything, JSON-ready.
        complete: whether every run is finished.
        written: files that hold the table.
    """

    folder: Path
    table: str
    record: Mapping[str, Any]
    complete: bool
    written: tuple[Path, ...]


def run_study(
    file: Path,
    folder: Path,
    *,
    root: Path | None = None,
    at_a_time: int = 1,
    progress: Progress | None = None,
) -> StudyResult:
    """Everything that is missing, then the table.

    Args:
        file: YAML.
        folder: of the study.
        root: where the data lies, if not where the recipes say.
        at_a_time: runs that are trained beside each other.
        progress: is told what happens.

    Raises:
        UserError: for a wrong study file, another study in that folder, or a run that fails.
        KeyboardInterrupt: after Ctrl-C; the same call goes on.
    """
    progress = progress or Silent()
    planned = load_study(file, root=root)
    fixed = fix(planned, folder, progress=progress)
    for jobs in (teacher_jobs(planned), arm_jobs(planned)):
        do_all(jobs, planned, fixed, folder, at_a_time=at_a_time, root=root, progress=progress)
    return _result(planned, fixed, folder)


def tabulate(file: Path, folder: Path, *, root: Path | None = None) -> StudyResult:
    """The table of what is finished; nothing is trained.

    Raises:
        UserError: for a wrong study file, or a folder that holds another study or none.
    """
    planned = load_study(file, root=root)
    return _result(planned, read_fixed(planned, folder), folder)


def _result(planned: Planned, fixed: Fixed, folder: Path) -> StudyResult:
    summary = summarise(planned, fixed, folder)
    table = study_table(planned, fixed, summary)
    record = {**_record(planned, fixed, summary), **provenance()}
    folders = [folder]
    if planned.study.results is not None:
        folders.append(planned.file.parent / planned.study.results)
    for place in folders:
        write_atomically(place / TABLE, lambda out: out.write(table.encode()))
        write_json(place / RECORD, record)
    return StudyResult(folder, table, record, not summary.missing, tuple(place / TABLE for place in folders))


def _record(planned: Planned, fixed: Fixed, summary: Summary) -> dict[str, Any]:
    return {
        "title": planned.study.title,
        "digest": fixed.digest,
        "seeds": list(planned.study.seeds),
        "level": LEVEL,
        "equivalence": EQUIVALENCE,
        "comparisons": len(planned.study.comparisons),
        "seconds_per_step": fixed.seconds_per_step,
        "steps": fixed.steps,
        "frames": dict(summary.frames),
        "notes": {part: list(notes) for part, notes in summary.notes.items()},
        "missing": [str(job) for job in summary.missing],
        "teachers": [_arm_record(arm) for arm in summary.teachers],
        "arms": [_arm_record(arm) for arm in summary.arms],
        "differences": [
            {
                "arm": compared.arm,
                "against": compared.against,
                "score": _key(compared.column),
                **vars(compared.difference),
                "verdict": compared.verdict,
            }
            for compared in summary.compared
        ],
        "runs": [_run_record(job, parts, summary.columns) for job, parts in summary.runs.items()],
    }


def _arm_record(arm: Arm) -> dict[str, Any]:
    def spread(of: Spread | None) -> dict[str, Any] | None:
        return None if of is None else vars(of)

    return {
        "name": arm.name,
        "title": arm.title,
        "steps": arm.steps,
        "seconds_per_step": arm.seconds_per_step,
        "seeds": list(arm.seeds),
        "scores": {_key(column): spread(of) for column, of in arm.scores.items()},
        "temperatures": {part: spread(of) for part, of in arm.temperatures.items()},
    }


def _run_record(job: Job, parts: Mapping[str, Any], order: tuple[Column, ...]) -> dict[str, Any]:
    return {
        "name": job.name,
        "seed": job.seed,
        "scores": {_key(column): column.of(parts) for column in order},
        "temperatures": {name: part["temperature"] for name, part in parts.items()},
        "iou": {
            name: {entry["name"]: entry["iou"] for entry in part["raw"]["per_class"]} for name, part in parts.items()
        },
    }


def _key(column: Column) -> str:
    """`report/nll/scaled`."""
    return "/".join([column.part, column.metric, *(["scaled"] if column.scaled else [])])
