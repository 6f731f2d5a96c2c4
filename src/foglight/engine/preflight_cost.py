"""What a run will cost, from a few of its own steps: seconds, the time to the end, and the memory at the highest point.

Time to the end = steps * wall-clock seconds of a step: training alone, without evaluation, checkpoints and the stage
that adapts modules on a teacher. A machine that does other things meanwhile makes it longer.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import torch

from foglight.config.schema import RunConfig
from foglight.engine.budget import clock
from foglight.engine.distiller import Distiller
from foglight.engine.measure import read_once, trial_step
from foglight.engine.processes import Processes
from foglight.engine.untouched import untouched
from foglight.types import Batch

TIMED_STEPS: Final = 3
# A first step that took this long is the measure: a preflight takes seconds.
SLOW_STEP_SECONDS: Final = 5.0
TINY_RATE: Final = 1e-12
_RESET: Final = Path("/proc/self/clear_refs")
_STATUS: Final = Path("/proc/self/status")
RESIDENT: Final = "resident memory of this process, libraries and cached frames included"
EVER_RESIDENT: Final = "resident memory of this process since it began, libraries and cached frames included"
ALLOCATED: Final = "memory that PyTorch allocates on the GPU"


@final
@dataclass(frozen=True)
class StepCost:
    """One update with data, both forwards, losses, backward and optimiser; the median of a few.

    Attributes:
        seconds: by the clock of budgets: process CPU time on the CPU, the wall's on a GPU.
        wall_seconds: by the wall clock.
        teacher_share: of `seconds`, what the teacher's forward takes, at most 1; None without a teacher.
        peak_memory_bytes: at the highest point.
        memory_is: what these bytes are.
    """

    seconds: float
    wall_seconds: float
    teacher_share: float | None
    peak_memory_bytes: int
    memory_is: str


def step_cost(
    distiller: Distiller, batches: Callable[[int], Iterable[Batch]], config: RunConfig, processes: Processes
) -> StepCost:
    """Measure a few updates; every process calls it, and nothing is left of it.

    Args:
        distiller: that will be trained.
        batches: number of micro-batches -> batches from the beginning of the stream.
        config: of the run.
        processes: that train together.
    """
    device = next(distiller.parameters()).device
    with untouched(distiller):
        distiller.train()
        number = (1 + TIMED_STEPS) * config.optim.accumulate
        read_once(batches(number))
        # Nothing is learned: a rate that needs its warm-up could blow up in these steps.
        still = config.model_copy(update={"optim": config.optim.model_copy(update={"lr": TINY_RATE})})
        step = trial_step(distiller, batches(number), still)
        # Before the first step, which may be the only one.
        memory = PeakMemory(device)
        first = _timed(step, device)
        if processes.agreed(lambda: first[1] > SLOW_STEP_SECONDS):
            timed = [first]
        else:
            timed = [_timed(step, device) for _ in range(TIMED_STEPS)]
        peak, memory_is = memory.read()
        seconds, wall_seconds = (statistics.median(times) for times in zip(*timed, strict=True))
        taught = _teacher_seconds(distiller, next(iter(batches(1))), config, device)
    share = None if taught is None else min(taught * config.optim.accumulate / max(seconds, 1e-9), 1.0)
    return StepCost(seconds, wall_seconds, share, peak, memory_is)


def _timed(step: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """By the clock of budgets, and by the wall's."""
    begin, wall = clock(device), time.perf_counter()
    step()
    return clock(device) - begin, time.perf_counter() - wall


@torch.no_grad()
def _teacher_seconds(distiller: Distiller, batch: Batch, config: RunConfig, device: torch.device) -> float | None:
    requires = distiller.terms.requires
    teacher = distiller.teacher
    if teacher is None or not requires.teacher:
        return None
    half = config.engine.precision == "bf16"
    batch = replace(batch, seed=config.seed)
    size = (batch.image.shape[-2], batch.image.shape[-1])

    def said() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            teacher(batch.image, batch.extra, taps=requires.teacher_taps, sigma=requires.teacher_sigma, label_size=size)

    return min(_timed(said, device)[0] for _ in range(2))


@final
class PeakMemory:
    """The highest point from here on; on a system that cannot start anew, since the process began.

    Args:
        device: of the networks.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.anew = True
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            # Linux: 5 sets the high-water mark of this process to what it holds now.
            _RESET.write_text("5")
        except OSError:
            self.anew = False

    def read(self) -> tuple[int, str]:
        """Bytes, and what they are."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device), ALLOCATED
        if self.anew:
            lines = _STATUS.read_text().splitlines()
            kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
            return int(kilobytes) * 1024, RESIDENT
        # macOS counts bytes, the others kilobytes.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, EVER_RESIDENT
