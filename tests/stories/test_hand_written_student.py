"""Does a network that somebody wrote by hand become a student, and an ONNX file that says the same?"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from foglight.cli import run
from foglight.models.student_file import load_student
from tiny_runs import QUICK

SOURCE = '''
from torch import nn


class Student(nn.Module):
    """Nothing of foglight in it: logits on its own grid, a dropout, a layer that is used twice."""

    def __init__(self, num_classes, width=16):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.block = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, image):
        features = self.stem(image)
        return self.classifier(self.dropout(self.block(self.block(features))))
'''


@pytest.fixture
def own_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its file lies in the folder where the commands are typed."""
    (tmp_path / "my_student.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return "module:my_student:Student"


def test_from_an_own_class_to_onnx(
    frames: Path, own_student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Taught under dropout weights, exported, predicted with; the file needs neither the class nor us."""
    words = ["--data", str(frames), *QUICK]
    assert run(["train", "--student", "lite_s", *words, "-o", "teacher"]) == 0
    distil = ["distill", "--teacher", "teacher", "--student", own_student, *words]
    assert run([*distil, "--method", "fotf", "--set", "student.options.width=8", "-o", "run"]) == 0
    student = load_student(tmp_path / "run")
    assert [dropout.rate for dropout in student.active_dropouts()] == [0.1]
    assert student.module.state_dict()["inner.stem.weight"].shape[0] == 8

    capsys.readouterr()
    assert run(["export", "run", "--to", "onnx", "-o", "student.onnx", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert exported["parities"][1]["agreement"] >= 0.999

    image = frames / "images" / "walk0_000.png"
    assert run(["predict", "run", str(image), "-o", "masks"]) == 0
    pixels = np.asarray(Image.open(image), dtype=np.float32).transpose(2, 0, 1)[None] / 255
    session = onnxruntime.InferenceSession("student.onnx", providers=["CPUExecutionProvider"])
    said = session.run(None, {"image": pixels})[0].argmax(1)[0]
    mask = np.asarray(Image.open(next((tmp_path / "masks").rglob("*.png"))))
    assert (said == mask).mean() >= 0.999


def test_a_student_without_its_class_says_where_it_is_looked_for(
    frames: Path, own_student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--student", own_student, "--data", str(frames), *QUICK, "-o", "run"]) == 0
    (tmp_path / "elsewhere").mkdir()
    asked = subprocess.run(
        [sys.executable, "-m", "foglight", "evaluate", str(tmp_path / "run"), "--data", str(frames)],
        cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 2
    assert "my_student" in asked.stderr
    assert "Traceback" not in asked.stderr
    capsys.readouterr()


def test_a_class_that_returns_no_logits_is_refused(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_wrong.py").write_text(SOURCE.replace("return self.classifier(", "return str("))
    monkeypatch.chdir(tmp_path)
    words = ["train", "--student", "module:my_wrong:Student", "--data", str(frames), *QUICK, "-o", "run"]
    assert run(words) == 2
    assert "logits" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert torch.is_grad_enabled()
