"""Seconds and peak memory of a step, for several forms of the same thing."""

import ctypes
import gc
import resource
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import torch

from foglight.engine.budget import seconds_per_step

Step = Callable[[], object]

# Seconds: shorter steps are repeated within a sample, where the clock and the cache of a single one would be noise.
SHORTEST_SAMPLE: Final = 0.1
# Of every arm, however long a step is; and at most, however short.
FEWEST_SAMPLES: Final = 3
MOST_SAMPLES: Final = 15
# Of mallopt, as malloc.h numbers them.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_MAX: Final = -4


def median_seconds(arms: Mapping[str, Step], *, device: torch.device, total: float) -> dict[str, float]:
    """Of every arm the median seconds of a step, arms in turn: process CPU time on a CPU.

    Args:
        arms: what is compared.
        device: where it runs.
        total: seconds that all samples together should take.
    """
    first = seconds_per_step(arms, device=device, warm_up=1, timed=1)
    calls = {name: max(1, round(SHORTEST_SAMPLE / seconds)) for name, seconds in first.items()}
    samples = total / sum(calls[name] * seconds for name, seconds in first.items())
    medians = seconds_per_step(
        {name: partial(_repeated, step, calls[name]) for name, step in arms.items()},
        device=device,
        warm_up=0,
        timed=min(max(int(samples), FEWEST_SAMPLES), MOST_SAMPLES),
    )
    return {name: seconds / calls[name] for name, seconds in medians.items()}


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, as it may end up doing in a process that has held much memory."""
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, -1)


def peak_bytes(step: Step, *, device: torch.device) -> int:
    """What the first call of a step adds, at its highest, to what the process holds before it.

    On a CPU it is the resident memory of the process as Linux tells it; call it once per process.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    # Memory that was freed but not yet returned would hide as much of the peak.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def limit_memory(share: float) -> None:
    """Let this process fail, not the machine, where a form wants more than this share of the free memory."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            limit = int(share * int(line.split()[1]) * 1024) + _status("VmSize")
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _repeated(step: Step, count: int) -> None:
    for _ in range(count):
        step()


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise ValueError(f"expected {field} in /proc/self/status, got none; memory is measured on Linux only")
