"""`foglight evaluate`: score a network on one part of a data set."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from foglight.commands import options
from foglight.commands.output import Output

if TYPE_CHECKING:
    from foglight.config.schema import DataConfig


def evaluate(
    model: Annotated[str, Argument(metavar="RUN", help="A run folder, a student.safetensors, or a network.")],
    data: options.DataName = None,
    root: options.Root = None,
    split: options.Split = None,
    part: Annotated[str, Option("--part", help="train, tune or report.")] = "report",
    sliding: Annotated[str | None, Option("--sliding", metavar="HxW", help="Slide a window of this size.")] = None,
    overlap: Annotated[float, Option("--overlap", min=0, max=0.99, help="Share that windows share.")] = 0.5,
    flip: Annotated[bool, Option("--flip", help="Average over the mirrored image.")] = False,
    scales: Annotated[str, Option("--scales", help="Average over these sizes, such as 0.75,1,1.25.")] = "1",
    temperature: Annotated[
        float | None, Option("--temperature", help="Also score under this one, whatever is stored.")
    ] = None,
    mc: Annotated[int, Option("--mc", min=0, help="Passes of the MC-dropout predictive mean; 0 for none.")] = 0,
    batch_size: Annotated[int | None, Option("--batch-size", min=1, help="Images at once.")] = None,
    file: Annotated[Path | None, Option("--output", "-o", help="Also write the scores to this JSON file.")] = None,
    class_map: options.ClassMap = None,
    device: options.Device = None,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score a network: IoU, calibration and error detection; raw, and as `foglight calibrate` has calibrated it."""
    output = Output(f"evaluate {model}", json=json, quiet=quiet)
    window, factors, by_hand = parse_window(sliding), parse_scales(scales), parse_temperature(temperature)
    where = evaluation_data(model, data=data, root=root, split=split, batch_size=batch_size)
    from foglight import api
    from foglight.commands.scores import scores_table

    settings = api.EvaluateSettings(sliding=window, overlap=overlap, flip=flip, scales=factors, mc=mc)
    report = api.evaluate(
        model,
        data=where,
        part=known_part(part),
        settings=settings,
        temperature=by_hand,
        class_map=class_map,
        device=chosen_device(device),
        trust=trust,
    )
    for note in report.notes:
        output.say(f"note     {note}")
    columns = {Path(model).name: report.scores}
    if report.scaled is not None:
        columns = {"raw": report.scores, str(report.calibration): report.scaled}
    output.show(scores_table(columns))
    output.say(f"{report.frames} frames of {where.name}, part {part}")
    content = report.to_dict()
    output.result(content)
    if file is not None:
        from foglight.atomic import write_json

        write_json(file, dict(content))
        output.next(str(file), f"foglight predict {model} IMAGES -o DIR --overlay")


def parse_window(text: str | None) -> tuple[int, int] | None:
    """Height and width of a window.

    Raises:
        ConfigurationError: if the text is not HxW.

    >>> parse_window("512x1024")
    (512, 1024)
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise _wrong("--sliding", "HxW, such as 512x1024", text)
    return int(found[1]), int(found[2])


def parse_scales(text: str) -> tuple[float, ...]:
    """Factors of the image's size.

    Raises:
        ConfigurationError: if the text is not a list of positive numbers.

    >>> parse_scales("0.75,1")
    (0.75, 1.0)
    """
    try:
        scales = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise _wrong("--scales", "numbers between commas, such as 0.75,1,1.25", text) from error
    if not all(0 < scale < float("inf") for scale in scales):
        raise _wrong("--scales", "numbers above 0", text)
    return scales


def parse_temperature(value: float | None) -> float | None:
    """A temperature given by hand.

    Raises:
        ConfigurationError: if it is not above 0.
    """
    if value is not None and not 0 < value < float("inf"):
        raise _wrong("--temperature", "a number above 0, such as 1.5", str(value))
    return value


def known_part(part: str) -> Literal["train", "tune", "report"]:
    """One of the three parts of a data set.

    Raises:
        ConfigurationError: for any other word.
    """
    match part:
        case "train" | "tune" | "report":
            return part
        case _:
            raise _wrong("--part", "train, tune or report", part)


def evaluation_data(
    model: str, *, data: str | None, root: Path | None, split: str | None, batch_size: int | None
) -> "DataConfig":
    """The data that a run folder was trained on, changed by the options that were given; or other data, as they are.

    Raises:
        ConfigurationError: if no data set is named and the model is no run folder.
    """
    from foglight.config.load import read_config
    from foglight.config.schema import DataConfig

    folder = Path(model).parent if Path(model).suffix in (".safetensors", ".json") else Path(model)
    own = folder / "config.yaml"
    known = read_config(own).data if own.is_file() else None
    if known is not None and data in (None, known.name):
        base = known
    elif data is not None:
        base = DataConfig(name=data)
    else:
        raise _wrong("--data", f"a data set, because {model} is no run folder that knows its own", "none")
    changes = {"root": None if root is None else str(root), "split": split, "batch_size": batch_size}
    return base.model_copy(update={key: value for key, value in changes.items() if value is not None})


def chosen_device(device: str | None) -> str:
    """The device's name as torch takes it; `auto` prefers a GPU."""
    if device not in (None, "auto"):
        return str(device)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _wrong(option: str, expected: str, got: str) -> Exception:
    from foglight.errors import ConfigurationError

    return ConfigurationError(f"{option}: expected {expected}, got {got}", remedy=f"correct {option}")
