"""What a command says: messages for people, JSON for programs, never mixed."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, final

from rich.console import Console
from rich.table import Table

from foglight import __version__

# What a shell reports for a process that Ctrl-C ended.
INTERRUPTED: Final = 130
# Where torchrun, Lightning and SLURM write which of several processes this one is.
RANKS: Final = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
# Where no terminal tells its width, a table must not be cut.
_WIDTH_OF_A_FILE: Final = 140


@final
class Output:
    """The voice of one command; its first line is printed at once, before anything heavy is imported.

    Args:
        command: as typed.
        json: the result alone goes to stdout, as JSON; messages go to stderr.
        quiet: no messages, only the result.
    """

    def __init__(self, command: str, *, json: bool = False, quiet: bool = False) -> None:
        # Of several processes one speaks.
        self.mute = any(int(os.environ.get(name, "0")) for name in RANKS)
        self.json = json
        self.quiet = quiet or self.mute
        stream = sys.stderr if json else sys.stdout
        width = None if stream.isatty() else _WIDTH_OF_A_FILE
        self.console = Console(file=stream, width=width, markup=False, highlight=False)
        self.say(f"foglight {__version__}  {command}")

    def say(self, text: str = "") -> None:
        """A message for people."""
        if not self.quiet:
            self.console.print(text, soft_wrap=True)

    def show(self, table: Table) -> None:
        """The result, for people; a program gets it by `result`."""
        if not self.json and not self.mute:
            self.console.print(table)

    def line(self, text: str) -> None:
        """A line of the result, for people; a program gets it by `result`."""
        if not self.json and not self.mute:
            self.console.print(text, soft_wrap=True)

    def result(self, content: Mapping[str, Any]) -> None:
        """The result, for programs."""
        if self.json and not self.mute:
            print(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False), flush=True)

    def next(self, written: str, then: str) -> None:
        """How every command that writes ends: what was written and what to run next."""
        self.say()
        self.say(f"written  {written}")
        self.say(f"next     {then}")


def plain_table(*columns: str, title: str | None = None) -> Table:
    """A table without vertical rules: the first column to the left, the others to the right."""
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def listing(*columns: str) -> Table:
    """A table of words: every column to the left."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
