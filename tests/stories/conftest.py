"""An own folder, as somebody would have it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = [(128, 64, 128), (0, 0, 142), (0, 160, 0)]


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Six images in three groups, with palette masks of three classes."""
    generator = np.random.default_rng(0)
    for number in range(6):
        stem = f"walk{number // 2}_{number % 2:03d}.png"
        for folder in ("images", "masks"):
            (tmp_path / "frames" / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / "frames/images" / stem)
        mask = Image.fromarray(np.repeat(np.arange(3, dtype=np.uint8), 16)[:, None].repeat(64, 1), mode="P")
        mask.putpalette([channel for colour in COLOURS for channel in colour])
        mask.save(tmp_path / "frames" / "masks" / stem)
    (tmp_path / "frames" / "classes.yaml").write_text(
        f"names: [street, vehicle, tree]\npalette: {[*map(list, COLOURS)]}\n"
    )
    return tmp_path / "frames"
