"""Is a torchvision detector distilled by ARFD in its own training loop, as the example says?"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

FILE = Path(__file__).parents[2] / "examples" / "arfd_detector.py"


@pytest.fixture(name="example")
def _example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, FILE.stem, module)
    specification.loader.exec_module(module)
    return module


def test_the_detector_learns_and_its_pyramid_follows_the_teacher(example: ModuleType) -> None:
    history = example.main(steps=12)
    first, last = history[0], history[-1]
    assert set(first) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg", "arfd"}
    assert last["arfd"] < 0.8 * first["arfd"]
    assert sum(last.values()) < sum(first.values())


def test_a_trained_student_detects_without_its_teacher(example: ModuleType) -> None:
    images, _ = example.pictures(2)
    with torch.no_grad():
        found = example.detector(width=8, channels=16).eval()(images)
    assert [set(each) for each in found] == [{"boxes", "labels", "scores"}] * 2
