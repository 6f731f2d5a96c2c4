"""From the scores of single runs to arms and differences: mean and spread over seeds, intervals, verdicts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.errors import CheckpointError
from foglight.study.fixed import Fixed
from foglight.study.jobs import ON_TUNE, SCORES, Job, arm_jobs, teacher_jobs
from foglight.study.load import Planned
from foglight.study.schema import MAIN_METRIC
from foglight.study.statistics import EQUIVALENCE, Difference, Spread, Verdict, paired_difference, spread, verdict

# What a temperature changes; all of these are better when they are smaller.
CALIBRATION: Final = frozenset({"nll", "brier", "ece_15", "ece_equal_mass", "ece_border"})


@final
@dataclass(frozen=True)
class Column:
    """One score.

    Attributes:
        part: on which.
        metric: which.
        scaled: under the temperature fitted on the tune part.
    """

    part: str
    metric: str
    scaled: bool = False

    def of(self, parts: Mapping[str, Any]) -> float | None:
        """The score of one run; None where it has none."""
        scores = parts[self.part]["scaled" if self.scaled else "raw"]
        return None if scores is None else scores[self.metric]


@final
@dataclass(frozen=True)
class Arm:
    """One arm, or a teacher, over its finished seeds.

    Attributes:
        name: of the arm or the teacher.
        title: for people.
        steps: updates of each run.
        seconds_per_step: None for a teacher, which is not measured with the arms.
        seeds: that are finished.
        scores: by column; None where no run has one.
        temperatures: by part; None where no fit was kept.
    """

    name: str
    title: str
    steps: int
    seconds_per_step: float | None
    seeds: tuple[int, ...]
    scores: Mapping[Column, Spread | None]
    temperatures: Mapping[str, Spread | None]


@final
@dataclass(frozen=True)
class Compared:
    """One score of one comparison.

    Attributes:
        arm: first.
        against: what is subtracted.
        column: of which score.
        difference: over the seeds that both have.
        verdict: in a word.
    """

    arm: str
    against: str
    column: Column
    difference: Difference
    verdict: Verdict


@final
@dataclass(frozen=True)
class Summary:
    """Everything that came out so far.

    Attributes:
        columns: in the order of the table.
        teachers: as rows.
        arms: as rows.
        compared: by comparison, then by column; only those with a seed that both arms have.
        notes: by part, what a reader must be told.
        frames: by part.
        runs: scores of every finished run.
        missing: runs that are not finished.
    """

    columns: tuple[Column, ...]
    teachers: tuple[Arm, ...]
    arms: tuple[Arm, ...]
    compared: tuple[Compared, ...]
    notes: Mapping[str, tuple[str, ...]]
    frames: Mapping[str, int]
    runs: Mapping[Job, Mapping[str, Any]]
    missing: tuple[Job, ...]


def columns(planned: Planned) -> tuple[Column, ...]:
    """Part by part, each score raw and then, where a temperature changes it, scaled."""
    return tuple(
        Column(part, metric, scaled)
        for part in planned.parts
        for metric in planned.study.metrics
        for scaled in ((False, True) if metric in CALIBRATION else (False,))
    )


def summarise(planned: Planned, fixed: Fixed, folder: Path) -> Summary:
    """What the finished runs of a study say.

    Raises:
        CheckpointError: for scores that cannot be read.
    """
    teachers, arms = teacher_jobs(planned), arm_jobs(planned)
    runs = {job: read for job in (*teachers, *arms) if (read := _read(job, folder)) is not None}
    order = columns(planned)
    by_arm = {
        name: {seed: runs[job] for seed in planned.study.seeds if (job := Job(name, seed)) in runs}
        for name in planned.arms
    }
    parts = list(runs.values())
    return Summary(
        columns=order,
        teachers=tuple(
            _arm(
                job.name,
                f"teacher {job.name}",
                planned.teachers[job.name].budget.steps or 0,
                None,
                {0: runs[job]},
                order,
            )
            for job in teachers
            if job in runs
        ),
        arms=tuple(
            _arm(
                name,
                planned.study.arms[name].title or name,
                fixed.steps[name],
                fixed.seconds_per_step[name],
                by_seed,
                order,
            )
            for name, by_seed in by_arm.items()
            if by_seed
        ),
        compared=tuple(_compared(planned, by_arm, order)),
        notes={
            name: tuple(dict.fromkeys(note for job, run in runs.items() for note in _notes(job, run[name])))
            for name in planned.parts
        },
        frames={name: parts[0][name]["frames"] for name in planned.parts} if parts else {},
        runs=runs,
        missing=tuple(job for job in (*teachers, *arms) if job not in runs),
    )


def _arm(
    name: str,
    title: str,
    steps: int,
    seconds: float | None,
    by_seed: Mapping[int, Mapping[str, Any]],
    order: Sequence[Column],
) -> Arm:
    def over_seeds(values: Sequence[float | None]) -> Spread | None:
        known = [value for value in values if value is not None]
        return spread(known) if known else None

    scores = {column: over_seeds([column.of(parts) for parts in by_seed.values()]) for column in order}
    names = dict.fromkeys(column.part for column in order)
    temperatures = {part: over_seeds([run[part]["temperature"] for run in by_seed.values()]) for part in names}
    return Arm(name, title, steps, seconds, tuple(by_seed), scores, temperatures)


def _compared(
    planned: Planned, by_arm: Mapping[str, Mapping[int, Mapping[str, Any]]], order: Sequence[Column]
) -> list[Compared]:
    found: list[Compared] = []
    for comparison in planned.study.comparisons:
        first, second = by_arm[comparison.arm], by_arm[comparison.against]
        for column in order:
            pairs = [
                (one, other)
                for seed in planned.study.seeds
                if seed in first and seed in second
                if (one := column.of(first[seed])) is not None and (other := column.of(second[seed])) is not None
            ]
            if pairs:
                difference = paired_difference(*zip(*pairs, strict=True))
                word = verdict(
                    difference,
                    equivalence=EQUIVALENCE if column.metric == MAIN_METRIC else None,
                    larger_is_better=column.metric not in CALIBRATION,
                )
                found.append(Compared(comparison.arm, comparison.against, column, difference, word))
    return found


def _notes(job: Job, part: Mapping[str, Any]) -> list[str]:
    """Of the data, and why there are no scaled scores: whose temperature could not be fitted."""
    refused = part["refused"]
    return [*part["notes"], *([] if refused is None else [refused if refused == ON_TUNE else f"{job}: {refused}"])]


def _read(job: Job, folder: Path) -> Mapping[str, Any] | None:
    path = job.folder(folder) / SCORES
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())["parts"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error})", remedy="delete that file; the same command then scores the run again"
        ) from error
