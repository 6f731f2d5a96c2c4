"""`foglight make-depth FOLDER`: depth maps for a folder of images, by a network, once."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from foglight.commands import options
from foglight.commands.output import Output
from foglight.errors import EXIT_CODE

DEFAULT_NETWORK = "depth-anything/Depth-Anything-V2-Small-hf"


def make_depth(
    images: Annotated[Path, Argument(metavar="FOLDER", help="A folder of images, with folders in it or without.")],
    folder: Annotated[Path, Option("--output", "-o", help="Where the maps are written, and what they mean.")],
    network: Annotated[
        str, Option("--network", help="A depth network of the transformers library: a folder, or a name on the hub.")
    ] = DEFAULT_NETWORK,
    device: options.Device = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a depth map for every image that has none yet; a bad file is listed at the end and stops nothing."""
    output = Output(f"make-depth {images}", json=json, quiet=quiet)
    from foglight.commands.evaluate import chosen_device
    from foglight.commands.progress import TerminalProgress
    from foglight.data.depth_maps import load_depth_network, write_depth_maps
    from foglight.data.layout import list_images
    from foglight.errors import DataError

    files = {stem: path for stem, path in list_images(images).items() if folder not in path.parents}
    if not files:
        raise DataError(f"{images}: no images found", remedy="point to a folder of PNG or JPEG images")
    loaded = load_depth_network(network, device=str(chosen_device(device)))
    progress = TerminalProgress(output)
    progress.begin("images", total=len(files), done=0)
    try:
        summary = write_depth_maps(files, folder, loaded, on_done=lambda done: progress.advance(done, {}))
    finally:
        progress.end()
    for path, reason in summary.failed:
        output.line(f"failed   {path}: {reason}")
    output.line(f"{summary.written} maps written, {summary.kept} kept, {len(summary.failed)} files failed")
    output.result(summary.to_dict())
    if not summary.written and not summary.kept:
        raise Exit(EXIT_CODE)
    output.next(str(folder), f"foglight train --data DATA --set data.options.extra={folder.resolve()}")
