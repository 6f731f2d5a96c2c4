"""The command line: `foglight COMMAND`.

Only typer is imported here; a command imports what it needs after its first line is printed, so that `--help` is quick.
What a user can mend is one message on stderr and exit code 2; what a user cannot is one line that asks for a report.
"""

import errno
import sys
import traceback
from collections.abc import Sequence

import typer

from foglight.commands.calibrate import calibrate
from foglight.commands.check_data import check_data
from foglight.commands.data import data
from foglight.commands.demo import demo
from foglight.commands.distill import distill
from foglight.commands.evaluate import evaluate
from foglight.commands.export import export
from foglight.commands.fetch_data import fetch_data
from foglight.commands.make_depth import make_depth
from foglight.commands.methods import methods
from foglight.commands.models import models
from foglight.commands.plan import plan
from foglight.commands.predict import predict
from foglight.commands.recipes import recipes
from foglight.commands.report import report
from foglight.commands.study import study
from foglight.commands.taps import taps
from foglight.commands.train import train
from foglight.commands.version import version
from foglight.errors import EXIT_CODE, UserError

app = typer.Typer(
    name="foglight",
    help="Distil a segmentation teacher into a small, calibrated student.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    demo,
    check_data,
    plan,
    train,
    distill,
    evaluate,
    calibrate,
    predict,
    export,
    report,
    methods,
    models,
    taps,
    data,
    fetch_data,
    make_depth,
    recipes,
    study,
    version,
):
    app.command()(_command)


@app.callback()
def _foglight(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; works anywhere on the line."),
) -> None:
    """Distil a segmentation teacher into a small, calibrated student."""


def main() -> None:
    """Run the command line and end the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code."""
    debug = "--debug" in arguments
    try:
        app([argument for argument in arguments if argument != "--debug"], prog_name="foglight")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        if debug:
            traceback.print_exc()
        message, code = explain(error)
        print(f"foglight: {message}", file=sys.stderr)
        return code
    return 0


def explain(error: Exception) -> tuple[str, int]:
    """What to print for an error, and the exit code."""
    match error:
        case UserError():
            return str(error), EXIT_CODE
        case OSError():
            return _explain_os_error(error), EXIT_CODE
        case _ if _is_validation_error(error):
            return f"the configuration is not valid: {_one_line(error)}", EXIT_CODE
        case _:
            kind = type(error).__name__
            problem = f"internal error, {kind}: {_one_line(error)}"
            return f"{problem}. Please report it with what the same command and --debug print", 1


def _explain_os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    problem = f"{where}{error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{problem}. To mend it: free some space; the same command then goes on from the last checkpoint"
    return f"{problem}. To mend it: check that path and its permissions"


def _is_validation_error(error: Exception) -> bool:
    # Imported here, where it costs nothing: whatever raised it has imported pydantic.
    from pydantic import ValidationError

    return isinstance(error, ValidationError)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or "no message"
