"""`foglight predict`: masks and overlays for images."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from foglight.commands import options
from foglight.commands.output import Output
from foglight.errors import EXIT_CODE


def predict(
    model: Annotated[str, Argument(metavar="RUN", help="A run folder or a student.safetensors.")],
    images: Annotated[list[Path], Argument(metavar="IMAGES...", help="Image files, or folders of them.")],
    folder: Annotated[Path, Option("--output", "-o", help="Where masks are written.")],
    overlay: Annotated[bool, Option("--overlay", help="Also write the mask's colours over the image.")] = False,
    alpha: Annotated[float, Option("--alpha", min=0, max=1, help="Opacity of the overlay's colours.")] = 0.5,
    device: options.Device = None,
    trust: options.Trust = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a mask for every image; a bad file is listed at the end and stops nothing."""
    output = Output(f"predict {model}", json=json, quiet=quiet)
    from foglight import api
    from foglight.commands.evaluate import chosen_device
    from foglight.commands.progress import TerminalProgress

    summary = api.predict(
        model,
        images,
        folder,
        overlay=overlay,
        alpha=alpha,
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
