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
    images: Annotated[
        list[Path], Argument(metavar="IMAGES...", help="Image files, folders of them, or @list.txt: a path per line.")
    ],
    folder: Annotated[Path, Option("--output", "-o", help="Where masks are written.")],
    recursive: Annotated[
        bool, Option("--recursive", "-r", help="Folders in folders too; masks keep the tree.")
    ] = False,
    resume: Annotated[
        bool, Option("--resume", help="Leave out images whose results are there, made in the very same way.")
    ] = False,
    overlay: Annotated[bool, Option("--overlay", help="Also write the mask's colours over the image.")] = False,
    alpha: Annotated[float, Option("--alpha", min=0, max=1, help="Opacity of the overlay's colours.")] = 0.5,
    sliding: Annotated[
        str,
        Option("--sliding", metavar="HxW|auto|off", help="Slide a window of this size; auto: over large images only."),
    ] = "auto",
    overlap: Annotated[float, Option("--overlap", min=0, max=0.99, help="Share that windows share.")] = 0.5,
    soft: Annotated[bool, Option("--soft", help="Also write soft labels: the most probable classes as .npz.")] = False,
    top: Annotated[int, Option("--top", min=1, help="How many classes soft labels keep.")] = 3,
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
    """Write a mask for every image; a bad file is listed at the end and stops nothing.

    Images of more than 4 million pixels are seen through windows; their probabilities are never held all at once.
    """
    output = Output(f"predict {model}", json=json, quiet=quiet)
    from foglight.commands.evaluate import chosen_device, parse_window

    window = None if sliding in ("auto", "off") else parse_window(sliding)
    from foglight import api
    from foglight.commands.progress import TerminalProgress

    summary = api.predict(
        model,
        images,
        folder,
        overlay=overlay,
        alpha=alpha,
        settings=api.EvaluateSettings(sliding=window, overlap=overlap),
        largest_whole=api.LARGEST_WHOLE if sliding == "auto" else None,
        recursive=recursive,
        resume=resume,
        soft=top if soft else 0,
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
    there = f", {summary.skipped} were there" if summary.skipped else ""
    output.line(f"{summary.written} masks{there}, {len(summary.failed)} files failed")
    output.result(summary.to_dict())
    if summary.failed and not summary.written + summary.skipped:
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
