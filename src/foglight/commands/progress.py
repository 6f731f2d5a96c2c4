"""Progress of long work: a bar where there is a terminal, a line now and then where there is none."""

import time
from collections.abc import Mapping
from typing import final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from foglight.commands.output import Output

# Seconds between two lines where the output is a file.
_LINE_EVERY = 10.0


@final
class TerminalProgress:
    """What the engine tells its progress to.

    Args:
        output: of the command that waits.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.live = output.console.is_terminal and not output.quiet
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.title = ""
        self.total = 0
        self.last_line = 0.0

    def begin(self, title: str, *, total: int, done: int) -> None:
        """A stage of `total` units begins, `done` of which are already behind."""
        self.end()
        self.title, self.total, self.last_line = title, total, time.monotonic()
        if self.live:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, TextColumn("{task.fields[figures]}"), console=self.output.console)
            self.task = self.bar.add_task(title, total=total, completed=done, figures="")
            self.bar.start()
        elif done:
            self.output.say(f"{title}: goes on at {done} of {total}")
        else:
            self.output.say(f"{title}: {total}")

    def advance(self, done: int, figures: Mapping[str, float]) -> None:
        """`done` units are behind; `figures` are the latest loss terms."""
        text = "  ".join(f"{name} {value:.3g}" for name, value in figures.items())
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=done, figures=text)
        elif time.monotonic() - self.last_line >= _LINE_EVERY:
            self.last_line = time.monotonic()
            self.output.say(f"{self.title}: {done} of {self.total}  {text}".rstrip())

    def note(self, text: str) -> None:
        """A sentence that a person should see."""
        self.output.say(text)

    def end(self) -> None:
        """The stage is over."""
        if self.bar is not None:
            self.bar.stop()
        self.bar, self.task = None, None
