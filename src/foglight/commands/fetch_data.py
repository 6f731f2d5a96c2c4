"""`foglight fetch-data [NAME]`: download a standard data set, or say how to get it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from foglight.commands import options
from foglight.commands.output import Output, listing

if TYPE_CHECKING:
    from foglight.data.fetch_table import Page

MEBIBYTE = 2**20


def fetch_data(
    name: Annotated[str | None, Argument(help="A data set; without one, all are listed.")] = None,
    root: Annotated[Path | None, Option("--root", help="Where the files go; by default data/NAME.")] = None,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask: size and licence are known and agreed to.")] = False,
    json: options.Json = False,
) -> None:
    """Download a data set that needs no login; for the others print the steps."""
    output = Output("fetch-data" if name is None else f"fetch-data {name}", json=json)
    from foglight.data.fetch_table import PAGES
    from foglight.errors import ConfigurationError
    from foglight.spelling import known_words

    if name is None:
        _list(output, tuple(PAGES.values()))
        return
    if name not in PAGES:
        raise ConfigurationError(f"there is no page for the data set {name!r}", remedy=known_words(name, list(PAGES)))
    page = PAGES[name]
    folder = root or Path("data") / (page.folder or page.name)
    if page.sources and not yes and (json or not sys.stdin.isatty()):
        raise ConfigurationError(
            f"{name}: the download was not agreed to, and there is no terminal to ask", remedy="pass --yes"
        )
    _describe(output, page)
    found = _download(output, page, folder, yes=yes) if page.sources else []
    steps = [step.format(root=folder) for step in page.steps]
    for number, step in enumerate(steps, start=1):
        output.line(f"{number}. {step}")
    output.result({**_record(page), "root": str(folder), "fetched": found, "steps": steps})
    if found:
        check = page.folder or page.name
        output.next(str(folder), f"foglight check-data {check} --root {folder}")


def _download(output: Output, page: "Page", folder: Path, *, yes: bool) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from foglight.commands.progress import TerminalProgress
    from foglight.data.fetch import fetch

    if not yes and not typer.confirm(f"download to {folder} under that licence?", err=True):
        output.say("nothing was downloaded")
        return []
    found: list[dict[str, Any]] = []
    progress = TerminalProgress(output)
    for source in page.sources:
        progress.begin(f"{source.file} (MiB)", total=(source.size or 0) // MEBIBYTE, done=0)
        try:
            fetched = fetch(source, folder, on_bytes=lambda done, _: progress.advance(done // MEBIBYTE, {}))
        finally:
            progress.end()
        compared = "as published" if fetched.compared else "computed; none is published"
        output.line(f"{fetched.file}  {fetched.algorithm} {fetched.digest} ({compared})")
        found.append(asdict(fetched))
    return found


def _describe(output: Output, page: "Page") -> None:
    from foglight.data.fetch import size_on_server

    output.line(f"home     {page.home}")
    output.line(f"licence  {page.licence}")
    for source in page.sources:
        checksum = source.checksum
        hashed = "no published checksum" if checksum is None else f"{checksum.algorithm} {checksum.digest}"
        output.line(f"file     {source.address}")
        size = source.size or size_on_server(source.address)
        output.line(f"         {_size(size)}, {hashed}" + (f" ({checksum.origin})" if checksum else ""))


def _list(output: Output, pages: "tuple[Page, ...]") -> None:
    table = listing("data set", "download", "size", "licence")
    for page in pages:
        how = "direct" if page.sources and not page.steps else "direct in part" if page.sources else "by hand"
        sizes = [source.size for source in page.sources]
        known = [size for size in sizes if size is not None]
        size = "?" if not known else f"{'' if len(known) == len(sizes) else '> '}{_size(sum(known))}"
        table.add_row(page.name, how, size if page.sources else "-", page.licence)
    output.show(table)
    output.result({"data": [_record(page) for page in pages]})


def _record(page: "Page") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(page)


def _size(size: int | None) -> str:
    return "size not published" if size is None else f"{size / MEBIBYTE:,.0f} MiB"
