"""Does `check-data` report what it finds, draw a contact sheet, and fail where there is something to mend?"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foglight.cli import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for name in (f"{town}_{number}" for town in "abcdef" for number in range(2)):
        Image.fromarray(draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(draw.integers(0, 3, (24, 32), dtype=np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "classes.yaml").write_text("names: [road, tree, sky]\n")
    return tmp_path


def test_a_clean_folder_passes_and_is_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = folder / "sheet.png"
    assert run(["check-data", str(folder), "-o", str(sheet), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert sum(part["frames"] for part in found["parts"]) == 12
    with Image.open(sheet) as picture:
        assert picture.width > 32


def test_an_image_without_a_mask_fails_and_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "masks" / "a_0.png").unlink()
    assert run(["check-data", str(folder), "-o", str(folder / "sheet.png")]) == 2
    assert "a_0" in capsys.readouterr().out
