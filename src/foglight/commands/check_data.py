"""`foglight check-data`: what is in a data set, before hours are spent on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option

from foglight.commands import options
from foglight.commands.output import Output
from foglight.errors import EXIT_CODE

if TYPE_CHECKING:
    from foglight.data.audit.findings import Audit
    from foglight.data.dataset import SegmentationDataset


def check_data(
    data: Annotated[str, Argument(metavar="DATA", help="A data set by name, or a folder of images/ and masks/.")],
    root: options.Root = None,
    split: options.Split = None,
    group: Annotated[str | None, Option("--group", help="Regular expression whose ( ) is a frame's group.")] = None,
    mask_suffix: Annotated[str, Option("--mask-suffix", help="What a mask's name has beyond its image's.")] = "",
    option: Annotated[
        list[str] | None, Option("--option", metavar="KEY=VALUE", help="As data.options.KEY in a recipe; may repeat.")
    ] = None,
    sheet: Annotated[Path, Option("--output", "-o", help="Where the contact sheet goes.")] = Path("contact-sheet.png"),
    json: options.Json = False,
) -> None:
    """Print label values, unmatched files, sizes, absent classes and leakage; write a contact sheet."""
    output = Output(f"check-data {data}", json=json)
    from foglight.data.contact_sheet import write_contact_sheet

    if root is None and Path(data).is_dir() and not option:
        found, parts = _own_folder(Path(data), split, group, mask_suffix)
    else:
        found, parts = _named(data, root, split, option or [])
    for line in found.lines():
        output.line(line)
    output.result(found.to_dict())
    if parts:
        write_contact_sheet(sheet, parts)
    if found.problems:
        raise Exit(EXIT_CODE)
    output.next(str(sheet), f"foglight train --data {data}{f' --root {root}' if root else ''} --student lite_m")


def _own_folder(
    root: Path, split: str | None, group: str | None, mask_suffix: str
) -> "tuple[Audit, Mapping[str, SegmentationDataset]]":
    from foglight.data.audit.folder_parts import open_folder
    from foglight.data.check import audit_folder

    found = audit_folder(root, split=split, group=group, mask_suffix=mask_suffix)
    opened = open_folder(root, split=split, group=group, images="images", masks="masks", mask_suffix=mask_suffix)
    return found, opened.parts


def _named(
    data: str, root: Path | None, split: str | None, words: list[str]
) -> "tuple[Audit, Mapping[str, SegmentationDataset]]":
    from foglight.data.check import audit
    from foglight.data.groups import PARTS
    from foglight.data.registry import build_dataset

    where = None if root is None else str(root)
    options = _options(words)
    parts = {
        part: build_dataset(data, part=part, root=where, split=split, cache="none", options=options) for part in PARTS
    }
    return audit(parts), parts


def _options(words: list[str]) -> dict[str, Any]:
    from foglight.config.overrides import Override, parse_override
    from foglight.errors import ConfigurationError

    options: dict[str, Any] = {}
    for word in words:
        read = parse_override(word)
        if not isinstance(read, Override) or len(read.keys) != 1:
            raise ConfigurationError(f"--option: expected KEY=VALUE, got {word!r}", remedy="such as --option sbd=true")
        options[read.keys[0]] = read.value
    return options
