"""`foglight predict`: masks, overlays and uncertainty maps for images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from foglight.commands import options
from foglight.commands.output import Output
from foglight.errors import EXIT_CODE

if TYPE_CHECKING:
    from foglight.engine.uncertainty import Uncertainty


def predict(
    model: Annotated[str, Argument(metavar="RUN", help="A run folder or a student.safetensors.")],
    images: Annotated[list[Path], Argument(metavar="IMAGES...", help="Image files, or folders of them.")],
    folder: Annotated[Path, Option("--output", "-o", help="Where masks are written.")],
    overlay: Annotated[bool, Option("--overlay", help="Also write the mask's colours over the image.")] = False,
    alpha: Annotated[float, Option("--alpha", min=0, max=1, help="Opacity of the overlay's colours.")] = 0.5,
    sliding: Annotated[str | None, Option("--sliding", metavar="HxW", help="Slide a window of this size.")] = None,
    overlap: Annotated[float, Option("--overlap", min=0, max=0.99, help="Share that windows share.")] = 0.5,
    calibrated: Annotated[
        bool, Option("--calibrated", help="Apply what `foglight calibrate` stored; one temperature changes no mask.")
    ] = False,
    uncertainty: Annotated[
        str | None,
        Option(
            "--uncertainty",
            metavar="KINDS",
            help="Also write maps: all, or some of sigma,entropy,mutual-information.",
        ),
    ] = None,
    passes: Annotated[int, Option("--passes", min=1, help="Of MC dropout, for the maps.")] = 20,
    raw: Annotated[bool, Option("--raw", help="Maps as .npy instead of 16-bit PNG.")] = False,
    device: options.Device = None,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a mask for every image; a bad file is listed at the end and stops nothing."""
    output = Output(f"predict {model}", json=json, quiet=quiet)
    from foglight.commands.evaluate import chosen_device, parse_window

    window = parse_window(sliding)
    from foglight import api
    from foglight.commands.progress import TerminalProgress

    summary = api.predict(
        model,
        images,
        folder,
        overlay=overlay,
        alpha=alpha,
        settings=api.EvaluateSettings(sliding=window, overlap=overlap),
        calibrated=calibrated,
        uncertainty=parse_uncertainty(uncertainty),
        passes=passes,
        raw=raw,
        device=chosen_device(device),
        trust=trust,
        progress=TerminalProgress(output),
    )
    for path, reason in summary.failed:
        output.line(f"failed   {path}: {reason}")
    output.line(f"{summary.written} masks, {len(summary.failed)} files failed")
    output.result(summary.to_dict())
    if not summary.written:
        raise Exit(EXIT_CODE)
    output.next(str(folder), f"foglight evaluate {model}")


def parse_uncertainty(text: str | None) -> "tuple[Uncertainty, ...]":
    """The maps that are wanted.

    Raises:
        ConfigurationError: for a kind that does not exist.

    >>> parse_uncertainty("entropy,sigma")
    ('sigma', 'entropy')
    """
    from foglight.engine.uncertainty import UNCERTAINTIES
    from foglight.errors import ConfigurationError

    if text is None:
        return ()
    wanted = UNCERTAINTIES if text == "all" else tuple(word.strip() for word in text.split(","))
    unknown = [word for word in wanted if word not in UNCERTAINTIES]
    if unknown:
        raise ConfigurationError(
            f"--uncertainty: expected all, or some of {', '.join(UNCERTAINTIES)}, got {text!r}",
            remedy="correct --uncertainty",
        )
    return tuple(kind for kind in UNCERTAINTIES if kind in wanted)
