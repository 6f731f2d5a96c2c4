"""Run folders without training, and a report written by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from foglight.config.load import dump_config
from foglight.config.schema import ModelConfig, RunConfig
from foglight.models.load import load_network
from foglight.models.student_file import save_student
from foglight.report.records import Arm, Curves, Origin, Picture, Preflight, Report, Strip, Uncertainty
from tiny_runs import tiny_config

CLASSES = ("road", "car", "sky", "tree")
SIZE = (32, 64)


def own_data(root: Path) -> Path:
    """Three drives of two frames of noise, with labels in stripes: quicker than a town."""
    noise = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for drive in "abc":
        for frame in range(2):
            image = noise.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
            label = (np.indices(SIZE)[1] * len(CLASSES) // SIZE[1] + frame) % len(CLASSES)
            Image.fromarray(image).save(root / "images" / f"{drive}_{frame:03d}.png")
            Image.fromarray(label.astype(np.uint8)).save(root / "masks" / f"{drive}_{frame:03d}.png")
    (root / "classes.yaml").write_text(f"names: [{', '.join(CLASSES)}]\n")
    return root


def small_config(data: Path) -> RunConfig:
    """The tiny run on own data."""
    config = tiny_config()
    kept = config.data.model_copy(update={"name": str(data), "options": {}, "size": None})
    return config.model_copy(update={"data": kept})


def stored_run(folder: Path, config: RunConfig, *, weights: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    """An untrained `lite_s` in a folder that looks like a run's."""
    torch.manual_seed(weights)
    network = load_network("lite_s", num_classes=len(classes))
    metadata = {"class_names": list(classes), "palette": [[0, 0, 0]] * len(classes), "steps": 6}
    save_student(network, folder, metadata=metadata)
    (folder / "config.yaml").write_text(dump_config(config))
    lines = [{"step": step, "kind": "train", "total": 1 / step, "ce": 1 / step, "lr": 0.1} for step in (1, 2, 3)]
    lines.append({"step": 3, "kind": "tune", "miou": 0.25})
    lines.append({"step": 3, "kind": "note", "note": "the weight of ce hardly varies"})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.json").write_text(json.dumps({"command": "foglight train <b>x</b>", "commit": "abc", "steps": 6}))
    return folder


def taught(config: RunConfig, teacher: str) -> RunConfig:
    """The same recipe with a teacher."""
    return config.model_copy(update={"teacher": ModelConfig(name=teacher), "method": "kd"})


def scores(miou: float, ious: Mapping[str, float | None], *, nll: float = 1.0) -> dict[str, Any]:
    """What a network scored, as far as a page reads it."""
    classes = [{"name": name, "iou": iou, "pixels": 0 if iou is None else 10} for name, iou in ious.items()]
    bins = [{"low": 0.0, "high": 0.5, "pixels": 0, "confidence": None, "accuracy": None}]
    bins.append({"low": 0.5, "high": 1.0, "pixels": 20, "confidence": 0.9, "accuracy": 0.7})
    shared = {"pixel_accuracy": miou, "boundary_iou": None, "brier": 0.5, "ece_15": 0.2}
    return {"miou": miou, "nll": nll, "per_class": classes, "reliability": bins, **shared}


def arm(title: str, role: Any, miou: float, ious: Mapping[str, float | None], **rest: Any) -> Arm:
    return Arm(title, role, "lite_s", raw=scores(miou, ious, nll=rest.pop("nll", 1.0)), seed=0, **rest)


def report(*arms: Arm, names: tuple[str, ...] = ("road", "car", "tram"), **changes: Any) -> Report:
    """A page's content around these arms."""
    picture = Picture("image", "data:image/png;base64,AAAA", (4, 2))
    content: dict[str, Any] = {
        "data": "fogtown",
        "frames": 8,
        "tune_frames": 4,
        "class_names": names,
        "palette": tuple((index, 0, 0) for index, _ in enumerate(names)),
        "arms": arms,
        "baseline": next((one.title for one in arms if one.role == "baseline"), None),
        "strips": (Strip("frame<1>", (picture,)),),
        "frame_rule": "evenly spaced",
        "uncertainties": (Uncertainty(arms[-1].title, "entropy", "words", {"entropy": 0.8}, {"entropy": 0.1}, ()),),
        "curves": (Curves(arms[-1].title, {"ce": ((1, 2.0), (2, 1.0))}, ((1, 0.1), (2, 0.2))),),
        "preflights": (Preflight(arms[-1].title, (("teacher miou", "0.4"),), (), ()),),
        "extra_pictures": (),
        "contact_sheet": None,
        "notes": (),
        "origins": (Origin(arms[-1].title, (("command", "foglight distill"),), "seed: 0\n"),),
        "version": "0",
    }
    return Report(**{**content, **changes})
