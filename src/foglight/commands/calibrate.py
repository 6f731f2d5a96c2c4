"""`foglight calibrate`: fit a temperature on labelled frames and store it with the student."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from foglight.commands import options
from foglight.commands.output import Output


def calibrate(
    model: Annotated[str, Argument(metavar="RUN", help="A run folder or a student.safetensors.")],
    data: options.DataName = None,
    root: options.Root = None,
    split: options.Split = None,
    part: Annotated[str, Option("--part", help="Where it is fitted: tune or train, never what is reported.")] = "tune",
    method: Annotated[
        str,
        Option(
            "--method",
            help="temperature, class-conditional (one per predicted class), or with the package fiducio: "
            "vector-scaling, matrix-scaling, class-conditional-matrix (which may change the masks), "
            "argmax-preserving-matrix, order-preserving-matrix.",
        ),
    ] = "temperature",
    batch_size: Annotated[int | None, Option("--batch-size", min=1, help="Images at once.")] = None,
    device: options.Device = None,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit a temperature on the tune part and store it in student.json; the weights are not touched."""
    output = Output(f"calibrate {model}", json=json, quiet=quiet)
    from foglight.commands.evaluate import chosen_device, evaluation_data, known_part

    where = evaluation_data(model, data=data, root=root, split=split, batch_size=batch_size)
    from foglight import api

    report = api.calibrate(
        model, data=where, part=known_part(part), method=method, device=chosen_device(device), trust=trust
    )
    if part == "report":
        output.say("note     fitted on the report part: what is reported there afterwards looks better than it is")
    for note in report.notes:
        output.say(f"note     {note}")
    entry = report.calibration
    output.line(
        f"{report.words}, fitted on {entry['pixels']} pixels of {entry['frames']} frames of {where.name}, {part}"
    )
    output.line(f"NLL there {entry['nll_before']:.4f}, with it {entry['nll_after']:.4f} nats")
    output.result(report.to_dict())
    output.next(str(report.path), f"foglight evaluate {Path(model)}")
