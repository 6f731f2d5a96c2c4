"""Who trains when: one run after the other in this process, or several at a time in processes of their own.

Every process computes with the threads that its recipe says (one, unless the recipe says more), so both ways give the
same figures.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

from foglight.engine.progress import Progress
from foglight.errors import EXIT_CODE, ConfigurationError
from foglight.study.fixed import Fixed
from foglight.study.jobs import Job, do, is_finished
from foglight.study.load import Planned

LOGS: Final = "logs"
_POLL_SECONDS: Final = 0.2


def do_all(
    jobs: Sequence[Job],
    planned: Planned,
    fixed: Fixed,
    folder: Path,
    *,
    at_a_time: int,
    root: Path | None,
    progress: Progress,
) -> None:
    """Do what is not finished.

    Args:
        jobs: none of which needs another.
        planned: the study.
        fixed: its steps.
        folder: of the study.
        at_a_time: 1 stays in this process.
        root: where the data lies, if not where the recipes say.
        progress: is told what happens.

    Raises:
        UserError: of the first run that fails; those in progress are ended in good order, finished ones stay.
        KeyboardInterrupt: after Ctrl-C, when all have written their checkpoints.
    """
    pending = [job for job in jobs if not is_finished(job, folder)]
    if at_a_time == 1:
        for number, job in enumerate(pending, start=1):
            progress.note(f"{job} ({number} of {len(pending)})")
            do(job, planned, fixed, folder, progress=progress)
        return
    processes = Processes(planned.file, folder, root, progress)
    try:
        while pending or processes.running:
            while pending and len(processes.running) < at_a_time:
                processes.start(pending.pop(0))
            processes.collect(left=len(pending))
            time.sleep(_POLL_SECONDS)
    finally:
        processes.stop()


@final
class Processes:
    """The runs that are in progress.

    Args:
        file: of the study.
        folder: of the study.
        root: of the data.
        progress: is told what happens.
    """

    def __init__(self, file: Path, folder: Path, root: Path | None, progress: Progress) -> None:
        self.file = file
        self.folder = folder
        self.root = root
        self.progress = progress
        self.running: dict[Job, subprocess.Popen[bytes]] = {}

    def start(self, job: Job) -> None:
        """Begin a run."""
        words = (self.file, self.folder, job.name, "" if job.seed is None else job.seed, self.root or "")
        log = self._log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            self.running[job] = subprocess.Popen(
                [sys.executable, "-m", "foglight.study.worker", *map(str, words)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                # Ctrl-C reaches this process alone, which then asks each run once: a second one would end it at once.
                start_new_session=True,
            )
        self.progress.note(f"{job}: begins")

    def collect(self, *, left: int) -> None:
        """Look which runs have ended.

        Raises:
            ConfigurationError: if one has failed.
        """
        for job, process in list(self.running.items()):
            code = process.poll()
            if code is None:
                continue
            del self.running[job]
            if code:
                raise self._failure(job, code)
            self.progress.note(f"{job}: finished, {left} to begin")

    def stop(self) -> None:
        """Ask every run to write its checkpoint and end, and wait until it has."""
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        for process in self.running.values():
            process.wait()
        self.running.clear()

    def _log(self, job: Job) -> Path:
        return self.folder / LOGS / f"{job.name}-{'teacher' if job.seed is None else f'seed{job.seed}'}.txt"

    def _failure(self, job: Job, code: int) -> ConfigurationError:
        lines = [line for line in self._log(job).read_text(errors="replace").splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {code}"
        if code != EXIT_CODE:
            said = f"ended with code {code}: {said} (all of it: {self._log(job)})"
        problem, _, remedy = said.partition(". To mend it: ")
        return ConfigurationError(f"{job}: {problem}", remedy=remedy or "mend that; the same command then goes on")
