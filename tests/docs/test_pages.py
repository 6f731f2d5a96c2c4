"""Does what the pages show work, word for word, and do their links lead somewhere?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from docs.pages import DOCS, EXECUTED, ROOT, WRITTEN, Block, anchors, blocks, links, write_folder

TEN_MINUTES: Final = DOCS / "ten_minutes.md"
SHOWN: Final = ("text", "yaml")
REASONS: Final = ("installs", "takes minutes", "needs a download", "needs a GPU")
# What the commands of a page leave behind.
PROMISED: Final = {
    "README.md": ("runs/student/report.html", "runs/student/export/student.onnx", "masks/walk0_000_overlay.png"),
    "index.md": ("runs/small/student.safetensors",),
    "ten_minutes.md": ("contact-sheet.png", "runs/student/export/student.onnx", "masks/walk0_000.png", "report.html"),
    "study.md": ("study.yaml", "runs"),
}


def executed(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in EXECUTED and not block.not_executed]


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """Where a reader stands: the folders that the pages name, with the classes that the ten minutes write down."""
    write_folder(tmp_path / "photos")
    for file in ("walk0_000.png", "walk0_001.png"):
        for folder in ("new", "IMAGES"):
            (tmp_path / folder).mkdir(exist_ok=True)
            shutil.copy(tmp_path / "photos" / "images" / file, tmp_path / folder)
    classes = next(block for block in blocks(TEN_MINUTES) if block.file == "photos/classes.yaml")
    (tmp_path / classes.file).write_text(classes.text, encoding="utf-8")
    shutil.copytree(tmp_path / "photos", tmp_path / "FOLDER")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in WRITTEN if executed(page)], ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, reader: Path) -> None:
    """One after the other, and they leave behind what the page promises."""
    paths = [str(ROOT / "tests"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "docs.follow", str(page)]
    done = subprocess.run(command, cwd=reader, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commands = sum(block.text.count("\n") for block in executed(page) if block.language == "sh")
    assert done.stdout.splitlines()[-1] == f"commands: {commands}"
    assert [file for file in PROMISED[page.name] if not (reader / file).stat().st_size] == []


@pytest.mark.parametrize("page", [ROOT / "README.md", TEN_MINUTES], ids=lambda page: page.name)
def test_an_own_folder_becomes_an_onnx_student_in_under_ten_commands(page: Path) -> None:
    """From the first command on the folder to the masks of the exported student, installation not counted."""
    lines = [line.split() for block in blocks(page) if block.language == "sh" for line in block.text.splitlines()]
    commands = [line[1] for line in lines if line[0] == "foglight"]
    way = commands[commands.index("check-data") : commands.index("predict") + 1]
    assert {"train", "plan", "distill", "calibrate", "evaluate", "report", "export"} <= {*way}
    assert len(way) < 10


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_a_block_is_executed_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        assert block.language in (*EXECUTED, *SHOWN), block.text
        assert block.not_executed in ("", *REASONS), block.not_executed
    fences = sum(line.startswith("```") for line in page.read_text(encoding="utf-8").splitlines())
    assert fences == 2 * len(list(blocks(page))), "a fence that is not read"


def test_every_link_leads_somewhere() -> None:
    """Within the repository, with its anchor; addresses on the network are not looked up."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md"), *(ROOT / "results").rglob("*.md")]
    dead = [f"{page.relative_to(ROOT)}: {link}" for page in pages for link in links(page) if not leads(page, link)]
    assert not dead


def leads(page: Path, link: str) -> bool:
    if link.startswith(("https://", "http://", "mailto:")):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_a_dead_link_and_a_dead_anchor_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`: three\n\n[a](page.md#one-two-three) [b](gone.md) [c](#gone) `[d](code.md)`\n")
    assert {link: leads(page, link) for link in links(page)} == {
        "page.md#one-two-three": True,
        "gone.md": False,
        "#gone": False,
    }
