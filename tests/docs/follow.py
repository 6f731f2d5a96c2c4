"""Do what a page says, in the working folder, as one reader would: `python -m docs.follow PAGE.md`.

One process for a whole page, without the type checks of the tests: libraries are imported once. Prints how many
commands were given; ends with 1 at the first that fails.
"""

import shlex
import sys
from pathlib import Path
from typing import Any, Final

import torch

from docs.pages import EXECUTED, Block, blocks
from foglight.cli import run

# All that is changed in what a page says: the length of a training, and how often a study repeats it. Fewer steps leave
# a student that cannot be calibrated.
SHORTER: Final = {"2000": "30", "seeds: [0, 1, 2]": "seeds: [0, 1]"}
# What a snippet may take for given.
GIVEN: Final = {"images": torch.rand(1, 3, 48, 64)}


def follow(page: Path) -> int:
    """Every block in order; how many commands that were.

    Raises:
        RuntimeError: if a command fails.
    """
    names: dict[str, Any] = dict(GIVEN)
    commands = 0
    for block in blocks(page):
        write(block)
        if block.not_executed or block.language not in EXECUTED:
            continue
        text = shortened(block.text)
        if block.language == "python":
            exec(compile(text, str(page), "exec"), names)
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line, comments=True)
            if program != "foglight" or run(words) != 0:
                raise RuntimeError(f"{page.name}: {line}")
            commands += 1
    return commands


def write(block: Block) -> None:
    """The reader's file that a block shows, if it shows one."""
    if block.file:
        Path(block.file).write_text(shortened(block.text), encoding="utf-8")


def shortened(text: str) -> str:
    """What is executed in place of the text."""
    for page, test in SHORTER.items():
        text = text.replace(page, test)
    return text


if __name__ == "__main__":
    print(f"\ncommands: {follow(Path(sys.argv[1]))}")
