"""A study that takes seconds."""

from pathlib import Path
from typing import Any

import yaml

from data.builders import write_folder

BASE: dict[str, Any] = {
    "student": "lite_s",
    "data": {
        "name": "folder",
        "batch_size": 2,
        "augment": {"crop": [32, 32], "scale": [0.9, 1.2]},
    },
    "optim": {"name": "adamw", "lr": 0.001},
    "budget": {"steps": 4},
    "engine": {"device": "cpu", "tensorboard": False},
    "preflight": False,
}


def tiny_study(folder: Path, **changes: Any) -> Path:
    """Two arms that are the same, under two seeds; written with its recipe beside it."""
    content = {
        "title": "Tiny",
        "student": {"recipe": "base.yaml"},
        "seeds": [0, 1],
        "arms": {"ce": {"method": "ce"}, "again": {"method": "ce"}},
        "comparisons": [{"arm": "again", "against": "ce"}],
        "evaluations": {"clip": {"part": "tune", "note": "a short clip"}},
        "metrics": ["miou", "nll"],
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    # Files, not fogtown: with its arguments checked, drawing a town takes longer than a step.
    root = write_folder(folder / "frames", groups=4, frames=3, size=(32, 64))
    base = {**BASE, "data": {**BASE["data"], "root": str(root)}}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file
