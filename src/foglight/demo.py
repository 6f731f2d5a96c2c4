"""See it work, offline, on a laptop: a teacher, a student alone in three ways, and that student distilled, on fogtown.

All arms share the data, its order and the student's first weights. The controls are those that distillation has to
beat: class weights, which cost nothing, and as much training time as distillation takes. What is printed is what was
measured. The report part holds towns that no arm has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.atomic import write_json
from foglight.config.build import Data, build_data
from foglight.config.load import load_packaged
from foglight.config.schema import BudgetConfig, ModelConfig, RunConfig
from foglight.engine.cost import parameter_count
from foglight.engine.progress import Progress, Silent
from foglight.provenance import provenance
from foglight.reporting.collect import ReportOptions, write_report
from foglight.run import RunResult, run
from foglight.step_ratio import step_ratio

TEACHER: Final = "fogtown_demo_teacher"
STUDENT: Final = "fogtown_demo_student"
BASELINE: Final = "alone"
# Frames shown in the report.
SHOWN: Final = 4


@final
@dataclass(frozen=True)
class DemoArm:
    """One way to train the student.

    Attributes:
        folder: of its run.
        title: for the table.
        method: preset.
        taught: whether the teacher takes part.
        time_of: folder of the arm whose training time it gets; None for the recipe's number of updates.
    """

    folder: str
    title: str
    method: str
    taught: bool = False
    time_of: str | None = None


ARMS: Final = (
    DemoArm(BASELINE, "student alone", "ce"),
    DemoArm("alone-class-weights", "alone, class weights", "ce-weighted"),
    DemoArm("alone-time-of-kd", "alone, the time of KD", "ce", time_of="kd"),
    DemoArm("kd", "+ KD", "kd", taught=True),
    DemoArm("fog", "+ KD + fog", "fog", taught=True),
)


@final
@dataclass(frozen=True)
class DemoRow:
    """One arm as measured.

    Attributes:
        title: of the arm.
        parameters: of its network.
        steps: student updates.
        seconds: wall-clock seconds of training; None where an earlier call trained it.
        scores: on the report part.
    """

    title: str
    parameters: int
    steps: int
    seconds: float | None
    scores: Mapping[str, Any]


@final
@dataclass(frozen=True)
class DemoResult:
    """Everything that the demo measured.

    Attributes:
        folder: with a run folder per arm and `demo.json`.
        rows: teacher first.
        report: the page with pictures.
    """

    folder: Path
    rows: tuple[DemoRow, ...]
    report: Path

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return {"folder": str(self.folder), "report": str(self.report), "rows": [vars(row) for row in self.rows]}


def demo(output: Path, *, seed: int = 0, progress: Progress | None = None) -> DemoResult:
    """Train a teacher and five students, and write the report; a finished arm is not trained again."""
    progress = progress or Silent()
    teacher_config = load_packaged(TEACHER).model_copy(update={"seed": seed})
    # One for all: teacher and student recipes name the same data, and frames are rendered once.
    data = build_data(teacher_config.data, seed=seed)
    progress.note("teacher: supervised")
    rows = [_row("teacher", run(teacher_config, output / "teacher", data=data, progress=progress))]
    for arm in ARMS:
        progress.note(arm.title)
        config = arm_config(arm, output / "teacher", data, seed=seed)
        rows.append(_row(arm.title, run(config, output / arm.folder, data=data, progress=progress)))
    progress.note("report")
    page = output / "report.html"
    options = ReportOptions(baseline=output / BASELINE, images=SHOWN)
    write_report([output / arm.folder for arm in ARMS], page, options=options, progress=progress)
    result = DemoResult(output, tuple(rows), page)
    write_json(output / "demo.json", {**result.to_dict(), **provenance()})
    return result


def arm_config(arm: DemoArm, teacher: Path, data: Data, *, seed: int) -> RunConfig:
    """The recipe of one arm; an arm that gets another's training time asks this machine's clock once."""
    base = load_packaged(STUDENT)
    changes: dict[str, Any] = {"seed": seed, "method": arm.method}
    if arm.taught:
        changes["teacher"] = ModelConfig(name=str(teacher))
    config = base.model_copy(update=changes)
    if arm.time_of is None:
        return config
    (other,) = (one for one in ARMS if one.folder == arm.time_of)
    steps = base.budget.steps
    if steps is None:
        raise ValueError(f"expected a recipe with a budget in steps, got {base.budget}")
    matched = round(steps * step_ratio(arm_config(other, teacher, data, seed=seed), config, data))
    return config.model_copy(update={"budget": BudgetConfig(steps=matched)})


def _row(title: str, result: RunResult) -> DemoRow:
    return DemoRow(title, parameter_count(result.student), result.steps, result.seconds or None, result.scores)
