"""`foglight check-data`: what is in a data set, before hours are spent on it."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from foglight.commands import options
from foglight.commands.output import Output


def check_data(
    data: Annotated[str, Argument(metavar="DATA", help="A data set by name, or a folder of images/ and masks/.")],
    root: options.Root = None,
    split: options.Split = None,
    json: options.Json = False,
) -> None:
    """Print label values, unmatched files, sizes, absent classes and leakage between the parts."""
    output = Output(f"check-data {data}", json=json)
    from foglight.data.check import audit, audit_folder
    from foglight.data.groups import PARTS
    from foglight.data.registry import build_dataset

    if root is None and Path(data).is_dir():
        found = audit_folder(Path(data))
    else:
        where = None if root is None else str(root)
        parts = {part: build_dataset(data, part=part, root=where, split=split, cache="none") for part in PARTS}
        found = audit(parts)
    for line in found.lines():
        output.line(line)
    output.result(found.to_dict())
