"""See it work, offline, on a laptop: a teacher, a student alone, and the same student distilled, on fogtown.

All arms share the data, its order, the student's first weights and the number of updates; only the losses differ. What
is printed is what was measured. The report part holds towns that no arm has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.atomic import write_json
from foglight.config.build import build_data
from foglight.config.load import load_packaged
from foglight.config.schema import ModelConfig, RunConfig
from foglight.engine.cost import parameter_count
from foglight.engine.progress import Progress, Silent
from foglight.provenance import provenance
from foglight.run import RunResult, run

TEACHER: Final = "fogtown_demo_teacher"
STUDENT: Final = "fogtown_demo_student"
# Title and method preset of each student arm.
ARMS: Final = (("student alone", "ce"), ("+ KD", "kd"), ("+ KD + fog", "fog"))


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
    """

    folder: Path
    rows: tuple[DemoRow, ...]

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return {"folder": str(self.folder), "rows": [vars(row) for row in self.rows]}


def demo(output: Path, *, seed: int = 0, progress: Progress | None = None) -> DemoResult:
    """Train a teacher and three students; a finished arm is not trained again."""
    progress = progress or Silent()
    teacher_config = _seeded(load_packaged(TEACHER), seed)
    data = build_data(teacher_config.data, seed=seed)
    progress.note("teacher: supervised")
    teacher = run(teacher_config, output / "teacher", data=data, progress=progress)
    rows = [_row("teacher", teacher)]
    for title, method in ARMS:
        config = _seeded(load_packaged(STUDENT), seed).model_copy(update={"method": method})
        if method != "ce":
            config = config.model_copy(update={"teacher": ModelConfig(name=str(output / "teacher"))})
        progress.note(title)
        rows.append(
            _row(title, run(config, output / method, data=build_data(config.data, seed=seed), progress=progress))
        )
    result = DemoResult(output, tuple(rows))
    write_json(output / "demo.json", {**result.to_dict(), **provenance()})
    return result


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"seed": seed})


def _row(title: str, result: RunResult) -> DemoRow:
    return DemoRow(title, parameter_count(result.student), result.steps, result.seconds or None, result.scores)
