"""`foglight study`: arms, seeds and equal training time compared as a file says."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from foglight.commands import options
from foglight.commands.output import INTERRUPTED, Output


def study(
    file: Annotated[Path, Argument(metavar="FILE", help="A study: arms, seeds, comparisons, in YAML.")],
    root: options.Root = None,
    folder: Annotated[
        Path | None, Option("--output", "-o", help="Where the runs go; by default runs/ and the names of the file.")
    ] = None,
    jobs: Annotated[int, Option("--jobs", min=1, help="Runs at a time, each a process of its own.")] = 1,
    only_table: Annotated[bool, Option("--only-table", help="Train nothing; the table of what is finished.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare ways to train a student, fairly: fixed before the first run, seeds paired, intervals. Resumes."""
    output = Output(f"study {file}", json=json, quiet=quiet)
    folder = folder or Path("runs") / f"{file.resolve().parent.name}-{file.stem}"
    output.say(f"study    {folder}")
    from foglight.commands.progress import TerminalProgress
    from foglight.study.study import run_study, tabulate

    progress = TerminalProgress(output)
    try:
        if only_table:
            result = tabulate(file, folder, root=root)
        else:
            result = run_study(file, folder, root=root, at_a_time=jobs, progress=progress)
    except KeyboardInterrupt:
        output.say(f"stopped; the same command goes on from the last checkpoints in {folder}")
        raise Exit(INTERRUPTED) from None
    finally:
        progress.end()
    output.say()
    output.line(result.table)
    output.result(result.record)
    output.next(", ".join(map(str, result.written)), f"foglight study {file} -o {folder} --only-table")
