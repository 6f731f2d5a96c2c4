"""The pages that people read: their fenced blocks, links and anchors, and the small folders that they speak of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
from PIL import Image

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
WRITTEN: Final = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
EXECUTED: Final = ("sh", "python")
COLOURS: Final = np.array([(128, 64, 128), (0, 0, 142), (0, 160, 0)], dtype=np.uint8)

_BLOCK: Final = re.compile(r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@final
@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: after the fence.
        text: between the fences.
        not_executed: the stated reason, empty where there is none.
        file: which file of the reader's it is, empty where it is none.
    """

    language: str
    text: str
    not_executed: str
    file: str


def blocks(page: Path) -> Iterator[Block]:
    """In the order of the page."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        kind, _, what = (found["note"] or "").partition(": ")
        not_executed = what if kind == "not executed" else ""
        yield Block(found["language"], found["text"], not_executed, what if kind == "file" else "")


def links(page: Path) -> list[str]:
    """Targets of the page's links, those in code left out."""
    return _LINK.findall(_without_code(page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as GitHub and MkDocs both make them."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def write_folder(folder: Path) -> None:
    """Eight small pictures in four groups: three bands whose colours and places vary, with palette masks."""
    generator = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(8):
        label = np.zeros((48, 64), dtype=np.uint8)
        label[generator.integers(10, 20) :] = 1
        label[generator.integers(28, 40) :] = 2
        noisy = COLOURS[label].astype(np.int16) + generator.integers(-30, 30, (48, 64, 3))
        name = f"walk{number // 2}_{number % 2:03d}.png"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / "images" / name)
        mask = Image.fromarray(label)
        mask.putpalette(COLOURS.flatten().tolist())
        mask.save(folder / "masks" / name)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`(?!\])", "", _BLOCK.sub("", text))
