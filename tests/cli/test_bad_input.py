"""Is every bad input refused with one clear line and exit code 2, and is nothing left half written?"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foglight.cli import run
from foglight.data.images import read_image
from foglight.engine.evaluate import EvaluateSettings
from foglight.models.student_file import load_student
from foglight.prediction.image import predicted_mask

SIZE = (48, 64)
FAST = ["--steps", "4", "--device", "cpu", "--set", "data.augment.crop=[32, 32]", "--set", "data.batch_size=2"]
FAST += ["--set", "engine.tensorboard=false", "--set", "engine.threads=1", "--set", "optim.name=adamw"]


def image(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(abs(hash(path.name)) % 1000).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def mask(path: Path, size: tuple[int, int] = SIZE, value: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.indices(size)[1] * 3 // size[1] if value is None else np.full(size, value)
    Image.fromarray(values.astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three drives of four frames, three classes."""
    root = tmp_path / "own"
    for drive in "abc":
        for frame in range(4):
            image(root / "images" / f"{drive}_{frame:03d}.png")
            mask(root / "masks" / f"{drive}_{frame:03d}.png")
    (root / "classes.yaml").write_text("names: [road, car, sky]\n")
    return root


def nowhere(folder: Path) -> list[str]:
    return []


def unreadable_image(folder: Path) -> list[str]:
    for path in (folder / "images").iterdir():
        path.write_bytes(b"this is no image")
    return []


def truncated_png(folder: Path) -> list[str]:
    for path in (folder / "images").iterdir():
        path.write_bytes(path.read_bytes()[:2000])
    return []


def missing_image(folder: Path) -> list[str]:
    rows = ["image,part", "a_000,train", "b_000,tune", "c_000,report", "gone_000,train"]
    (folder / "split.csv").write_text("\n".join(rows) + "\n")
    return ["--split", str(folder / "split.csv")]


def unknown_value(folder: Path) -> list[str]:
    for path in (folder / "masks").iterdir():
        mask(path, value=7)
    return []


def other_size(folder: Path) -> list[str]:
    for path in (folder / "masks").iterdir():
        mask(path, size=(40, 64))
    return []


def no_overlap(folder: Path) -> list[str]:
    for path in list((folder / "masks").iterdir()):
        path.rename(path.with_name(f"mask_of_{path.name}"))
    return []


def all_ignored(folder: Path) -> list[str]:
    for path in (folder / "masks").iterdir():
        mask(path, value=255)
    return []


def large_crop(folder: Path) -> list[str]:
    return ["--set", "data.augment.crop=[500, 500]"]


def wrong_architecture(folder: Path) -> list[str]:
    torch.save({"conv.weight": torch.zeros(3)}, folder / "other.pth")
    return ["--set", f"student.weights={folder / 'other.pth'}"]


class Anything:
    """What a pickle may hold."""


def pickled(folder: Path) -> list[str]:
    torch.save({"model": Anything()}, folder / "pickle.pth")
    return ["--set", f"student.weights={folder / 'pickle.pth'}"]


def unknown_key(folder: Path) -> list[str]:
    return ["--set", "optim.lrr=0.1"]


def unknown_value_in_recipe(folder: Path) -> list[str]:
    return ["--set", "optim.schedule=polly"]


def batch_of_one(folder: Path) -> list[str]:
    return ["--student", "pspnet_r18", "--set", "data.batch_size=1"]


def not_a_number(folder: Path) -> list[str]:
    return ["--set", "optim.lr=1e30", "--steps", "30"]


CASES: list[tuple[Callable[[Path], list[str]], str]] = [
    (unreadable_image, r"images.[abc]_\d+\.png.*(not|cannot)"),
    (truncated_png, r"images.[abc]_\d+\.png.*truncated"),
    (missing_image, r"split\.csv.*gone_000"),
    (unknown_value, r"masks.[abc]_\d+\.png.*7"),
    (other_size, r"masks.[abc]_\d+\.png.*64x40"),
    (no_overlap, r"no image in .* has a mask of the same name.*mask_suffix"),
    (all_ignored, "ignored"),
    (large_crop, r"crop.*500"),
    (wrong_architecture, r"other\.pth.*missing"),
    (pickled, r"pickle\.pth.*--trust-checkpoint"),
    (unknown_key, r"lrr.*'lr'"),
    (unknown_value_in_recipe, "optim.schedule.*polly"),
    (batch_of_one, r"data\.batch_size"),
    (not_a_number, r"step \d+: (ce|total).* (nan|inf), in the batch of"),
]


@pytest.mark.parametrize(("spoil", "expected"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_training_refuses(
    spoil: Callable[[Path], list[str]], expected: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    words = ["train", "--data", str(folder), "--student", "lite_s", "-o", str(output), *FAST, *spoil(folder)]
    assert run(words) == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    assert said.count("\n") <= 1  # a recipe's mistakes: one line that counts them, then one each
    assert re.search(expected, said.replace("\n", " ")), said
    assert not (output / "student.safetensors").exists()
    assert not list(output.glob(".*tmp")) if output.exists() else True


def test_a_teacher_of_other_classes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", "fogtown", "data.options.frames=4", "data.options.towns=2", "data.size=[32, 64]"]
    assert run(["train", "--student", "lite_s", *data, "-o", str(tmp_path / "teacher"), *FAST]) == 0
    capsys.readouterr()
    student = ["distill", "--data", str(folder), "--teacher", str(tmp_path / "teacher"), "--student", "lite_s", *FAST]
    assert run([*student, "-o", str(tmp_path / "student")]) == 2
    said = capsys.readouterr().err
    assert "12 classes" in said
    assert "3" in said
    assert not (tmp_path / "student").exists()


def test_the_folder_itself_is_fine(folder: Path, tmp_path: Path) -> None:
    """What the cases above spoil does train."""
    assert run(["train", "--data", str(folder), "--student", "lite_s", "-o", str(tmp_path / "run"), *FAST]) == 0
    assert (tmp_path / "run" / "student.safetensors").exists()


def test_predict_goes_on_past_a_bad_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--data", str(folder), "--student", "lite_s", "-o", str(tmp_path / "run"), *FAST]) == 0
    (folder / "images" / "a_001.png").write_bytes(b"no image")
    words = ["predict", str(tmp_path / "run"), str(folder / "images"), "-o", str(tmp_path / "out"), "--overlay"]
    assert run(words) == 0
    assert len(list((tmp_path / "out").glob("*_overlay.png"))) == 11
    assert "a_001.png" in "".join(capsys.readouterr())
    with Image.open(tmp_path / "out" / "b_000.png") as written:
        assert written.size == (64, 48)
        assert written.mode == "P"
        assert set(np.unique(np.asarray(written))) <= {0, 1, 2}


def test_a_student_of_resized_frames_sees_every_image_at_that_size(folder: Path, tmp_path: Path) -> None:
    resized = ["--set", "data.size=[24, 32]", "--set", "data.augment.crop=[24, 32]"]
    words = ["train", "--data", str(folder), "--student", "lite_s", "-o", str(tmp_path / "run"), *FAST, *resized]
    assert run(words) == 0
    assert run(["predict", str(tmp_path / "run"), str(folder / "images"), "-o", str(tmp_path / "out")]) == 0
    network, picture = load_student(tmp_path / "run"), read_image(folder / "images" / "a_000.png")
    expected = predicted_mask(network, picture, EvaluateSettings(), input_size=(24, 32))
    with Image.open(tmp_path / "out" / "a_000.png") as written:
        assert np.array_equal(np.asarray(written), expected.numpy())
