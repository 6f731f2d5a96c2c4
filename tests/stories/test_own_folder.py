"""Do people with an own folder and networks of other libraries get a student, by the commands that they would type?"""

import json
from pathlib import Path

import pytest

from foglight.cli import run
from foglight.models.student_file import load_student
from models.foreign_networks import segformer_teacher
from tiny_runs import QUICK


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    segformer_teacher(tmp_path / "teacher", ("road", "truck", "car", "sky"))
    return f"hf:{tmp_path / 'teacher'}"


def test_a_transformers_teacher_with_other_classes(
    frames: Path, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused with the options that mend it; with a class map it teaches, and what it does not know is said."""
    words = ["distill", "--data", str(frames), "--teacher", teacher, "--student", "lite_s", "--method", "kd", *QUICK]
    assert run([*words, "-o", str(tmp_path / "refused")]) == 2
    said = capsys.readouterr().err
    assert "predicts 4 classes, the data has 3" in said
    assert "--class-map" in said
    assert "--finetune-teacher" in said
    (tmp_path / "map.yaml").write_text("road: street\ntruck: vehicle\ncar: vehicle\nsky: null\n")
    mapped = [*words, "--class-map", str(tmp_path / "map.yaml"), "-o", str(tmp_path / "run")]
    assert run(mapped) == 0
    assert (
        "3 of 4 teacher classes stand for 2 of 3 classes of the data; no teacher class for tree"
        in capsys.readouterr().out
    )
    assert load_student(tmp_path / "run").class_names == ("street", "vehicle", "tree")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["teacher"]["miou"] is not None
    scored = ["evaluate", teacher, "--data", str(frames), "--class-map", str(tmp_path / "map.yaml"), "--json"]
    assert run(scored) == 0
    transfer = json.loads(capsys.readouterr().out)
    assert any("no teacher class for tree" in note for note in transfer["notes"])
    assert run([word for word in scored if word not in ("--class-map", str(tmp_path / "map.yaml"))]) == 2
    assert "--class-map" in capsys.readouterr().err


def test_a_teacher_is_finetuned_once(
    frames: Path, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its head is trained on the data, stored, and read back by a second arm."""
    words = ["distill", "--data", str(frames), "--teacher", teacher, "--student", "lite_s", *QUICK]
    words += ["--finetune-teacher", "3"]
    assert run([*words, "--method", "kd", "-o", str(tmp_path / "runs" / "kd")]) == 0
    assert "head trained on the data for 3 steps in" in capsys.readouterr().out
    stored = list((tmp_path / "runs" / "adapted").glob("*-teacher.ckpt"))
    assert len(stored) == 1
    assert run([*words, "--method", "cwd", "-o", str(tmp_path / "runs" / "cwd")]) == 0
    assert f"read from {stored[0]}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_a_unet_student_of_smp(frames: Path, teacher: str, tmp_path: Path) -> None:
    """FOTF on a network without a dropout: one is inserted, and the student stands alone in the end."""
    (tmp_path / "map.yaml").write_text("road: street\ncar: vehicle\nsky: tree\n")
    student = "smp:Unet:resnet18:decoder_channels=[16, 8, 8, 8, 8]"
    words = ["distill", "--data", str(frames), "--teacher", teacher, "--class-map", str(tmp_path / "map.yaml"), *QUICK]
    words += ["--student", student, "--method", "fotf"]
    assert run([*words, "-o", str(tmp_path / "none")]) == 2, "without a dropout FOTF is refused"
    assert run([*words, "--insert-dropout", "0.1", "-o", str(tmp_path / "run")]) == 0
    kept = load_student(tmp_path / "run")
    assert [dropout.rate for dropout in kept.active_dropouts()] == [0.1]
    assert "dropout 0.1 inserted before" in kept.weights_source


def test_taps_are_listed_as_losses_name_them(teacher: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["taps", teacher, "--size", "64x96", "--insert-dropout", "0.1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {tap: found["stride"] for tap, found in content["taps"].items() if tap.startswith("layer")} == {
        "layer1": 4,
        "layer2": 8,
        "layer3": 16,
        "layer4": 32,
    }
    assert [dropout["name"] for dropout in content["dropouts"]][-1] == "inserted_dropout"
    assert run(["taps", "lite_s", "--all"]) == 0
    assert "head.block.0" in capsys.readouterr().out
    assert run(["taps", "lite_s", "--size", "64"]) == 2
    assert "--size" in capsys.readouterr().err
