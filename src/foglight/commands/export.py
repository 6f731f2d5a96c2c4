"""`foglight export`: a student as a file that runs without foglight."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from foglight.commands import options
from foglight.commands.evaluate import evaluation_data, parse_window
from foglight.commands.output import Output, plain_table

if TYPE_CHECKING:
    from foglight.exporting import ExportReport, Kind


def export(
    run: Annotated[Path, Argument(metavar="RUN", help="A run folder, or a student.safetensors.")],
    to: Annotated[str, Option("--to", help="onnx, torch-export, safetensors or int8.")] = "onnx",
    file: Annotated[Path | None, Option("--output", "-o", help="The file; by default beside the student.")] = None,
    normalise: Annotated[bool, Option("--normalise/--no-normalise", help="Take images in [0, 1].")] = True,
    resize: Annotated[bool, Option("--resize/--no-resize", help="Give logits on the image's grid.")] = True,
    temperature: Annotated[bool, Option("--temperature", help="Bake in the calibrated temperature.")] = False,
    size: Annotated[str | None, Option("--size", metavar="HxW", help="Trace with an image of this size.")] = None,
    images: Annotated[int, Option("--images", min=1, help="Labelled images to measure on.")] = 50,
    recover: Annotated[int, Option("--recover", min=0, help="Steps of distillation in simulated int8.")] = 0,
    teacher: options.TeacherName = None,
    data: options.DataName = None,
    root: options.Root = None,
    split: options.Split = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Export a student; what the file says and costs is measured against it on real images."""
    output = Output(f"export {run}", json=json, quiet=quiet)
    kind, window = _known_kind(to), parse_window(size)
    where = evaluation_data(str(run), data=data, root=root, split=split, batch_size=None)
    from foglight.commands.progress import TerminalProgress
    from foglight.exporting import SUFFIX, ExportSettings, export_student

    folder = run if run.is_dir() else run.parent
    path = file or folder / "export" / f"student{SUFFIX[kind]}"
    settings = ExportSettings(normalise, resize, temperature, window, images, recover, teacher)
    report = export_student(run, kind, path, data=where, settings=settings, progress=TerminalProgress(output))
    _show(output, report)
    output.result(report.to_dict())
    output.next(f"{path}, {path.name}.md, {path.name}.export.json", f"foglight evaluate {run}")


def _known_kind(to: str) -> "Kind":
    match to:
        case "onnx" | "torch-export" | "safetensors" | "int8":
            return to
        case _:
            from foglight.errors import ConfigurationError
            from foglight.spelling import known_words

            kinds = ["onnx", "torch-export", "safetensors", "int8"]
            raise ConfigurationError(f"--to: expected a kind of file, got {to!r}", remedy=known_words(to, kinds))


def _show(output: Output, report: "ExportReport") -> None:
    table = plain_table("", "largest difference", "same class", "mIoU", "ms per image")
    reference, *others = report.parities
    before = [] if report.before_recovery is None else [("int8, before recovery", report.before_recovery)]
    for name, one in [(reference.form, reference), *before, *((other.form, other) for other in others)]:
        miou = "-" if one.miou is None else f"{100 * one.miou:.2f}"
        row = (f"{one.max_difference:.2g}", f"{100 * one.agreement:.3f} %", miou, f"{1e3 * one.latency:.1f}")
        table.add_row(name, *row)
    output.show(table)
    sizes = "any size" if report.dynamic else f"{report.size[0]}x{report.size[1]} alone"
    output.say(f"measured on {report.measured_on}; images of {sizes}; baked in: {', '.join(report.baked) or 'nothing'}")
