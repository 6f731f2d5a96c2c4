"""What a preflight saw, in one record: `preflight.json` of a run folder holds it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from foglight.engine.preflight import TermCheck
from foglight.engine.preflight_tables import ConnectorRow, NetworkFacts, TapRow
from foglight.types import DropoutInfo


@final
@dataclass(frozen=True)
class Cost:
    """What a run will take on this machine.

    Attributes:
        seconds_per_step: by the clock of budgets: process CPU time on the CPU, the wall's on a GPU.
        wall_seconds_per_step: by the wall clock.
        teacher_share: of a step's time; None without a teacher.
        steps: of the whole budget; of a budget in seconds an estimate, for the run measures again.
        eta_seconds: by the wall clock, of all steps; training alone.
        peak_memory_bytes: at the highest point of a step.
        memory_is: what these bytes are.
        cache_bytes: of decoded frames, once all have been read.
    """

    seconds_per_step: float
    wall_seconds_per_step: float
    teacher_share: float | None
    steps: int
    eta_seconds: float
    peak_memory_bytes: int
    memory_is: str
    cache_bytes: int


@final
@dataclass(frozen=True)
class Preflight:
    """Everything that was looked at before the first step.

    Attributes:
        student: what it is.
        teacher: what it is; None without one.
        taps: that losses read.
        connectors: modules with parameters that losses brought along.
        terms: of the losses on the first batch.
        teacher_miou: in [0, 1] on a slice of the tune part; None where no loss reads a teacher.
        untrained_student_miou: on the same frames, before the first step.
        active_dropouts: of the student.
        mc_dropout: whether a loss asks for the student's spread under them.
        cost: of the run.
        notes: what a person should know.
        allowed: refusals that are lifted.
    """

    student: NetworkFacts
    teacher: NetworkFacts | None
    taps: tuple[TapRow, ...]
    connectors: tuple[ConnectorRow, ...]
    terms: tuple[TermCheck, ...]
    teacher_miou: float | None
    untrained_student_miou: float | None
    active_dropouts: tuple[DropoutInfo, ...]
    mc_dropout: bool
    cost: Cost
    notes: tuple[str, ...]
    allowed: tuple[str, ...]

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready; a number that is not finite becomes None."""
        content: dict[str, Any] = _json_ready(asdict(self))
        return content


def _json_ready(value: Any) -> Any:
    match value:
        case dict():
            return {key: _json_ready(below) for key, below in value.items()}
        case list() | tuple():
            return [_json_ready(below) for below in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
