"""Does `foglight plan` say what a run would do, refuse what it would refuse, and leave nothing behind?"""

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foglight.cli import run
from foglight.commands.distill import distill
from foglight.commands.plan import plan
from foglight.commands.train import train

FAST = [
    "--steps", "4", "--device", "cpu", "--set", "data.augment.crop=[32, 32]", "--set", "data.batch_size=2",
    "--set", "engine.tensorboard=false", "--set", "engine.threads=1",
]  # fmt: skip
TOWN = ["--data", "fogtown", "data.options.frames=4", "data.options.towns=2", "data.size=[32, 64]"]
KEYS = {
    "student", "teacher", "taps", "connectors", "terms", "teacher_miou", "untrained_student_miou", "active_dropouts",
    "cost", "notes", "allowed",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own(here: Path) -> Path:
    """Three drives of four frames with three classes."""
    for name in ("images", "masks"):
        (here / "own" / name).mkdir(parents=True)
    for index in range(12):
        stem = f"{'abc'[index // 4]}_{index % 4:03d}.png"
        noise = np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(here / "own" / "images" / stem)
        Image.fromarray((np.indices((48, 64))[1] * 3 // 64).astype(np.uint8)).save(here / "own" / "masks" / stem)
    (here / "own" / "classes.yaml").write_text("names: [road, car, sky]\n")
    return here / "own"


def test_it_takes_every_option_of_a_run() -> None:
    """So that the command of a run becomes its plan by changing one word."""
    options = set(inspect.signature(plan).parameters)
    assert set(inspect.signature(distill).parameters) | set(inspect.signature(train).parameters) <= options


def test_a_distillation_is_planned_and_leaves_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--student", "lite_s", *TOWN, *FAST, "-o", "teacher"]) == 0
    before = sorted(here.rglob("*"))
    capsys.readouterr()
    words = ["--student", "lite_s", "--teacher", "teacher", *TOWN, *FAST, "--allow", "weak-teacher", "--json"]
    assert run(["plan", *words]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert sorted(here.rglob("*")) == before
    assert seen.keys() >= KEYS
    assert seen["cost"]["steps"] == 4
    assert seen["allowed"] == ["weak-teacher"]
    # `fog` is the default of distil; the run of the same words goes to the planned folder and keeps what was seen.
    assert [term["name"] for term in seen["terms"]] == ["ce", "kd"]
    assert run(["distill", *words]) == 0
    kept = json.loads((here / seen["folder"] / "preflight.json").read_text())
    assert kept.keys() == seen.keys() - {"folder"}
    for same in ("student", "teacher", "taps", "connectors", "terms", "teacher_miou", "untrained_student_miou"):
        assert kept[same] == seen[same], same


def test_a_training_is_planned_in_words(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--student", "lite_s", *TOWN, *FAST]) == 0
    said = capsys.readouterr().out
    assert re.search(r"student +lite_s +12 +4 ", said)
    assert re.search(r"cost +\S+ s per step, 4 steps in about", said)
    assert "teacher" not in said
    assert not list(here.iterdir())


def test_a_run_says_it_in_short(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--student", "lite_s", *TOWN, *FAST]) == 0
    said = capsys.readouterr().out
    assert re.search(r"terms +ce \S+ x 1 \(100 %\)", said)
    assert re.search(r"cost +\S+ s per step, 4 steps", said)
    assert "gradient norm" not in said  # that is the table of `plan`


def missing_teacher(here: Path) -> list[str]:
    return ["--method", "kd"]


def nowhere(here: Path) -> list[str]:
    return ["--teacher", "runs/nowhere"]


def without_checkpoint(here: Path) -> list[str]:
    (here / "teacher").mkdir()
    (here / "teacher" / "config.yaml").write_text("student: lite_s\n")
    return ["--teacher", "teacher"]


def without_weights(here: Path) -> list[str]:
    assert run(["train", "--student", "lite_s", *TOWN, *FAST, "-o", "teacher"]) == 0
    (here / "teacher" / "student.safetensors").unlink()
    return ["--teacher", "teacher"]


def weak_teacher(here: Path) -> list[str]:
    assert run(["train", "--student", "lite_s", *TOWN, *FAST, "-o", "teacher", "--steps", "1"]) == 0
    return ["--teacher", "teacher", "--weights", "teacher/student.safetensors"]


def no_dropout(here: Path) -> list[str]:
    losses = "losses: [{name: cross_entropy, pixel_weight: {}}]"
    (here / "recipe.yaml").write_text(f"student: {{name: lite_s, options: {{dropout: 0.0}}}}\n{losses}\n")
    return ["recipe.yaml"]


def of_another_run(here: Path) -> list[str]:
    assert run(["train", "--student", "lite_s", *TOWN, *FAST, "-o", "taken", "--seed", "5"]) == 0
    return ["-o", "taken"]


def published_weights(_: Path) -> list[str]:
    return ["--pretrained"]


CASES: list[tuple[Callable[[Path], list[str]], str]] = [
    (missing_teacher, "expected a teacher.*--teacher"),
    (nowhere, "expected a network, got 'runs/nowhere'"),
    (without_checkpoint, r"teacher.student\.json.*finished run"),
    (without_weights, r"teacher.student\.safetensors: No such file"),
    (weak_teacher, r"no better than.*\[weak-teacher\]"),
    (no_dropout, r"no active dropout.*\[no-dropout\]"),
    (published_weights, "Lite has no backbone with pretrained weights.*--from-scratch"),
    (of_another_run, "taken: holds a run with another configuration"),
]


@pytest.mark.parametrize(("spoil", "expected"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_run_would_refuse_is_refused(
    spoil: Callable[[Path], list[str]], expected: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = spoil(here)
    before = sorted(here.rglob("*"))
    capsys.readouterr()
    assert run(["plan", "--student", "lite_s", *TOWN, *FAST, *spoiled]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0, said
    assert re.search(expected, said), said
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("I;16", "16-bit values are scaled to 8 bits and grey is repeated"),
        ("L", "images looked at, such as .*: grey is repeated over the three channels"),
        ("RGBA", "transparency is dropped"),
    ],
)
def test_an_image_of_another_mode_is_one_clear_line(
    mode: str, expected: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (own / "images").iterdir():
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"))
            turned = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        turned.save(path)
        with Image.open(path) as written:
            assert written.mode == mode
    assert run(["plan", "--data", str(own), "--student", "lite_s", *FAST]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if re.search(expected, line)]
    assert len(lines) == 1
    assert str(own / "images") in lines[0]


@pytest.mark.parametrize("mode", ["F", "LA"])
def test_a_mode_that_means_nothing_is_refused(mode: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Floats as images, and masks of grey with transparency."""
    suffix, part = (".tif", "images") if mode == "F" else (".png", "masks")
    for path in list((own / part).iterdir()):
        with Image.open(path) as image:
            turned = image.convert("L").convert(mode)
        path.unlink()
        turned.save(path.with_suffix(suffix))
    assert run(["plan", "--data", str(own), "--student", "lite_s", *FAST]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert re.search(rf"own.{part}.[abc]_\d+\{suffix}: ", said), said
