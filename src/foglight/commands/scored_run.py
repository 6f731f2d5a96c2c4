"""What `train` and `distill` share: run, show the scores, say what was written and what to run next."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Exit

from foglight.commands.output import INTERRUPTED, Output
from foglight.commands.progress import TerminalProgress
from foglight.commands.recipe_words import RunWords, read_words
from foglight.commands.scores import scores_table

if TYPE_CHECKING:
    from foglight.run import RunResult


def run_and_show(
    output: Output,
    words: RunWords,
    folder: Path | None,
    *,
    choose: Callable[[], Callable[..., "RunResult"]],
    trust: bool,
) -> None:
    """One run from words to a table; Ctrl-C leaves it resumable.

    Args:
        output: of the command.
        words: of the command line.
        folder: of the run; by default the one that belongs to these words.
        choose: imports and gives the function that trains or distils.
        trust: load pickled checkpoints.
    """
    config, default_folder = read_words(words)
    folder = folder or default_folder
    output.say(f"run      {folder}")
    teacher = "" if config.teacher is None else f"   teacher {config.teacher.name}"
    output.say(f"student  {config.student.name}{teacher}")
    output.say(f"data     {config.data.name}   method {config.method or 'as the recipe lists its losses'}")
    progress = TerminalProgress(output)
    try:
        result = choose()(config, folder, trust=trust, progress=progress)
    except KeyboardInterrupt:
        output.say(f"stopped; the same command goes on from the last checkpoint in {folder}")
        raise Exit(INTERRUPTED) from None
    finally:
        progress.end()
    show_run(output, result)


def show_run(output: Output, result: "RunResult") -> None:
    """The table of one run, and what to do with it."""
    columns = {"student": result.scores}
    if result.teacher_scores is not None:
        columns = {"teacher": result.teacher_scores, **columns}
    output.say()
    output.show(scores_table(columns))
    output.say(f"{result.steps} steps, {result.seconds:.1f} s of training in this process")
    content: dict[str, Any] = {
        "folder": str(result.folder),
        "steps": result.steps,
        "seconds": result.seconds,
        "scores": result.scores,
        "teacher_scores": result.teacher_scores,
    }
    output.result(content)
    output.next(f"{result.folder / 'student.safetensors'}", f"foglight predict {result.folder} IMAGES -o DIR --overlay")
