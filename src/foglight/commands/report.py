"""`foglight report`: one offline HTML page that compares finished runs."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from foglight.commands import options
from foglight.commands.output import Output

FILE = "report.html"


def report(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="Run folders: distilled runs, and the student alone.")],
    file: Annotated[
        Path | None, Option("--output", "-o", help="The page; by default report.html in or beside the run folders.")
    ] = None,
    baseline: Annotated[
        Path | None, Option("--baseline", help="The run that differences are taken from; by default the student alone.")
    ] = None,
    images: Annotated[int, Option("--images", min=0, help="Frames to show, evenly spaced over the report part.")] = 6,
    data: options.DataName = None,
    root: options.Root = None,
    split: options.Split = None,
    device: options.Device = None,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare finished runs in one offline HTML page: scores, calibration, pictures, curves, cost and origin."""
    output = Output(f"report {' '.join(map(str, runs))}", json=json, quiet=quiet)
    from foglight import api
    from foglight.commands.evaluate import chosen_device
    from foglight.commands.progress import TerminalProgress
    from foglight.report.content import content

    path = file or default_file(runs)
    chosen = api.ReportOptions(
        baseline=baseline, data=data, root=root, split=split, images=images, device=chosen_device(device), trust=trust
    )
    figures = content(api.write_report(runs, path, options=chosen, progress=TerminalProgress(output)))
    for sentence in figures["headline"]:
        output.line(sentence)
    output.result({"file": str(path), **figures})
    output.next(str(path), f"open {path} in a browser; it needs no network")


def default_file(runs: list[Path]) -> Path:
    """In the folder of a single run, else beside the first.

    >>> default_file([Path("runs/kd")]).as_posix(), default_file([Path("runs/kd"), Path("runs/ce")]).as_posix()
    ('runs/kd/report.html', 'runs/report.html')
    """
    return runs[0] / FILE if len(runs) == 1 else runs[0].parent / FILE
