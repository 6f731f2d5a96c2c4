"""`foglight demo`: a teacher and five students on an embedded data set, offline, on a CPU."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from foglight.commands import options
from foglight.commands.output import INTERRUPTED, Output, plain_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foglight.demo import DemoRow


def demo(
    folder: Annotated[Path, Option("--output", "-o", help="Where the runs go.")] = Path("runs/demo"),
    seed: Annotated[int, Option("--seed", help="Of everything.")] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a teacher on fogtown, distil it into a small student, and show what that changed. Resumes."""
    output = Output("demo", json=json, quiet=quiet)
    output.say("fogtown: street scenes made on this machine, with fog; no download")
    from foglight.commands.progress import TerminalProgress
    from foglight.demo import demo as run_demo

    progress = TerminalProgress(output)
    try:
        result = run_demo(folder, seed=seed, progress=progress)
    except KeyboardInterrupt:
        output.say(f"stopped; the same command goes on from the last checkpoint in {folder}")
        raise Exit(INTERRUPTED) from None
    finally:
        progress.end()
    show_rows(output, result.rows)
    output.say("one seed of one small data set: this shows that it runs, not which method is better")
    output.result(result.to_dict())
    output.next(str(result.report), f"open {result.report} in a browser   or   foglight check-data YOUR_FOLDER")


def show_rows(output: Output, rows: "Sequence[DemoRow]") -> None:
    """One line per arm; seconds are a dash where an earlier call trained it."""
    from foglight.commands.scores import HEADLINES, figure

    table = plain_table("", "M parameters", "steps", "train s", *HEADLINES.values())
    for row in rows:
        seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
        figures = [figure(row.scores, key) for key in HEADLINES]
        table.add_row(row.title, f"{row.parameters / 1e6:.3f}", str(row.steps), seconds, *figures)
    output.show(table)
