"""Write `docs/methods`: one page per loss from its card, its signature and the tests that name it, and an index.

    python docs/generate_methods.py [FOLDER]

A test regenerates the pages and compares; after changing a card or a preset, run this and keep what it wrote.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from foglight.config.preset_schema import Preset
from foglight.config.presets import load_method, method_names, overlay_names
from foglight.config.schema import LossConfig, Schedule
from foglight.config.tiers import preset_tier
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.registry import loss_class, loss_names, loss_options

ROOT: Final = Path(__file__).resolve().parent.parent
CONTRACT: Final = "tests/contract/test_losses.py"


def write_pages(folder: Path) -> list[Path]:
    """All pages; files of methods that are gone are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: page(name) for name in loss_names()} | {"index": index()}
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return [folder / f"{name}.md" for name in pages]


def page(name: str) -> str:
    """One loss."""
    loss = loss_class(name)
    card = loss.card
    sections = [
        f"# `{name}`",
        f"{card.title}\n\nTier: {card.tier}. File: `{_file(loss)}`.",
        f"## Equation\n\n```text\n{card.equation}\n```{_symbols(loss)}",
        f"## Options\n\n{_options(loss)}",
        f"## Paper, published code, and what we do\n\n{_sources(card)}",
        f"## Behaviour\n\n{_behaviour(card)}",
        f"## Cost\n\n{card.cost}.",
        f"## Presets with it\n\n{_presets(name)}",
        f"## What proves it\n\n{_proofs(name, loss)}",
    ]
    return "\n\n".join(sections) + "\n"


def index() -> str:
    """Losses and presets in two tables."""
    losses = _table(
        ("loss", "what it matches", "family", "tier"),
        ((f"[`{name}`]({name}.md)", loss.card.title, _family(loss), loss.card.tier) for name, loss in _losses()),
    )
    presets = _table(
        ("preset", "what it is", "terms", "tier"),
        ((f"`{name}`", preset.title, _terms(preset), preset_tier(preset)) for name, preset in _all_presets()),
    )
    weightings = ", ".join(f"`{name}`" for name in overlay_names())
    return "\n\n".join(
        [
            "# Methods",
            "A loss is one file and one page. A preset is what `--method` takes: losses with the published weights,\n"
            f"printed with their sources by `foglight methods NAME`. {weightings} are weightings: `NAME+fotf`\n"
            "lays one over any preset. Written by `python docs/generate_methods.py`.",
            "Recommended: start here. Supported: works as published. For comparison: costly, unsettled, or a control.",
            f"## Losses\n\n{losses}",
            f"## Presets\n\n{presets}\n",
        ]
    )


def _losses() -> Iterator[tuple[str, type[DistillationLoss]]]:
    return ((name, loss_class(name)) for name in loss_names())


def _all_presets() -> Iterator[tuple[str, Preset]]:
    return ((name, load_method(name)) for name in method_names() if name not in overlay_names())


def _file(loss: type[DistillationLoss]) -> str:
    return f"src/{loss.__module__.replace('.', '/')}.py"


def _family(loss: type[DistillationLoss]) -> str:
    return loss.__module__.split(".")[-2]


def _symbols(loss: type[DistillationLoss]) -> str:
    """What the file's docstring says of the symbols in its equation."""
    described = inspect.getdoc(inspect.getmodule(loss)) or ""
    found = re.search(r"^Symbols: (.*?)(?=\n[A-Z][\w, ]*: |\n\n|\Z)", described, flags=re.MULTILINE | re.DOTALL)
    return "" if found is None else f"\n\nSymbols: {' '.join(found[1].split())}"


def _options(loss: type[DistillationLoss]) -> str:
    meanings = _arguments(loss)
    rows = ((f"`{name}`", f"`{_plain(option.default)}`", meanings[name]) for name, option in loss_options(loss).items())
    return _table(("option", "default", "what it is"), rows)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _arguments(loss: type[DistillationLoss]) -> dict[str, str]:
    """What the class's docstring says of every argument."""
    described = (inspect.getdoc(loss) or "").partition("Args:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", described, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _sources(card: Card) -> str:
    lines = [f"- Paper: {card.source}."]
    lines.append(f"- Published code: {card.implementation or 'none is known'}.")
    lines.append(f"- Where we differ, and why: {card.deviations or 'nowhere'}.")
    return "\n".join(lines)


def _behaviour(card: Card) -> str:
    """What the contract tests hold it to."""
    ignored = "change neither value nor gradient" if card.masks_ignored else "count by default"
    lines = [f"- Ignored pixels {ignored}."]
    if card.may_be_negative:
        lines.append(f"- May be negative: {_code(card.may_be_negative)}.")
    if card.trains_only_itself:
        lines.append(f"- Train only the loss's own modules: {_code(card.trains_only_itself)}.")
    return "\n".join(lines)


def _code(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _presets(loss: str) -> str:
    using = [(name, preset) for name, preset in _all_presets() if loss in {term.name for term in preset.terms}]
    if loss == "cross_entropy":
        return f"Nearly all of them: {', '.join(f'`{name}`' for name, _ in using)}."
    lines = (f"- `{name}` ({preset_tier(preset)}): {_terms(preset)}. {preset.note}" for name, preset in using)
    return "\n".join(line.strip() for line in lines)


def _terms(preset: Preset) -> str:
    return " + ".join(f"{_weight(term)}`{term.name}`" for term in preset.terms)


def _weight(term: LossConfig) -> str:
    match term.weight:
        case dict() as by_term:
            inside = ", ".join(f"{name} {_number(weight)}" for name, weight in by_term.items())
            return f"({inside}) "
        case weight:
            return "" if weight == 1.0 else f"{_number(weight)} "


def _number(weight: float | Schedule) -> str:
    return f"{weight.kind} {weight.value:g}" if isinstance(weight, Schedule) else f"{weight:g}"


def _proofs(name: str, loss: type[DistillationLoss]) -> str:
    lines = [f"- The contract of all losses: `{CONTRACT}`."]
    parity = [f"`{file}`" for file, method in _parity_families().items() if method == name]
    lines.append(f"- Numbers of published code or of the equations: {', '.join(parity) or 'none are stored'}.")
    known = [f"`{file}`" for file, text in _degenerate_tests().items() if f"{loss.__module__} import" in text]
    lines.append(f"- Truths known by hand: {', '.join(known) or 'none beyond the contract'}.")
    return "\n".join(lines)


@cache
def _parity_families() -> dict[str, str]:
    """The method that every file of reference cases exercises."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests" / "parity" / "families").glob("*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Assign) and "METHOD" in {ast.unparse(target) for target in statement.targets}:
                found[path.relative_to(ROOT).as_posix()] = ast.literal_eval(statement.value)
    return found


@cache
def _degenerate_tests() -> dict[str, str]:
    paths = sorted((ROOT / "tests" / "degenerate").glob("test_*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    written = write_pages(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "methods")
    print(f"{len(written)} pages in {written[0].parent}")
