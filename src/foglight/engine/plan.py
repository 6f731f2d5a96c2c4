"""What a training run needs beside its networks and losses, and how it ended."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from torch import Tensor

from foglight.config.schema import EngineConfig, OptimConfig
from foglight.engine.processes import Processes
from foglight.models.network import Network
from foglight.types import Batch

BatchSource = Callable[[int, int], Iterable[Batch]]
ALONE: Final = Processes()
Score = Callable[[Network], Mapping[str, Any]]


@final
@dataclass(frozen=True)
class Plan:
    """Everything that a run needs beside its networks and losses.

    Attributes:
        folder: of the run.
        batches: (first micro-batch, number of them) -> batches; a pure function.
        total_steps: student updates.
        optim: the student's optimiser.
        engine: devices, precision and intervals.
        seed: of the run.
        fingerprint: of the configuration and the teacher; a checkpoint of another run is refused.
        score: figures on the tune part, with `miou` among them; None never evaluates while training.
        allow: refusals that are lifted.
        processes: that train together; `batches` and `score` are this one's share.
    """

    folder: Path
    batches: BatchSource
    total_steps: int
    optim: OptimConfig
    engine: EngineConfig
    seed: int
    fingerprint: str
    score: Score | None = None
    allow: tuple[str, ...] = ()
    processes: Processes = ALONE


@final
@dataclass(frozen=True)
class Fitted:
    """How a run ended.

    Attributes:
        step: student updates made.
        state: of the student to keep: averaged where averaging is on, the best on tune where patience is set.
        stopped_early: whether patience ran out.
    """

    step: int
    state: Mapping[str, Tensor]
    stopped_early: bool
