"""Do people with images of their own kinds get masks: many without labels, grey 16-bit ones, and very large ones?"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foglight.cli import run
from foglight.models.load import load_network
from foglight.models.student_file import load_student, save_student

QUICK = [
    "--steps",
    "4",
    "--device",
    "cpu",
    "--no-preflight",
    "--set",
    "data.batch_size=4",
    "--set",
    "data.size=[32,48]",
]
QUICK += ["--set", "data.augment.crop=[32,32]", "--set", "engine.tensorboard=false", "--set", "engine.threads=1"]
SIZE = (32, 48)

MEGABYTE = 2**20
LARGE = (3000, 4000)
CLASSES = 12
# Above what the process takes before; less than one float32 copy of the image's probabilities.
LIMIT = 500 * MEGABYTE

# The limit holds for what is allocated (data) and is measured on what was ever resident.
MEASURED = """
import json, resource, sys
from pathlib import Path
from foglight.cli import run

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))

student, small, large, output, limit, *more = sys.argv[1:]
words = ["predict", student, "-o", output, "--device", "cpu", *more]
assert run([*words, small, "-q"]) == 0
before, data = status("VmRSS"), status("VmData")
resource.setrlimit(resource.RLIMIT_DATA, (data + int(limit), data + int(limit)))
code = run([*words, large])
print(json.dumps({"code": code, "taken": status("VmHWM") - before}))
"""


def write_frames(folder: Path) -> Path:
    """Six images in three groups: grey, 16 bits, bright where the mask says so."""
    generator = np.random.default_rng(0)
    for number in range(6):
        stem = f"walk{number // 2}_{number % 2:03d}.png"
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        mask = (np.arange(SIZE[0])[:, None] + np.zeros(SIZE[1], np.int64) > 8 + 4 * number).astype(np.uint8)
        grey = mask.astype(np.int64) * 40000 + generator.integers(0, 20000, SIZE)
        Image.fromarray(grey.astype(np.uint16)).save(folder / "images" / stem)
        Image.fromarray(mask).save(folder / "masks" / stem)
    (folder / "classes.yaml").write_text("names: [dark, bright]\npalette: [[0, 0, 0], [255, 255, 0]]\n")
    return folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("data") / "frames")


@pytest.fixture(scope="module")
def teacher(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    assert run(["train", "--data", str(frames), "--student", "lite_s", *QUICK, "-o", str(folder), "-q"]) == 0
    return folder


def result(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*map(str, words), "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_two_hundred_images_without_labels(
    frames: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The student learns from them what it would not learn without, and then labels all of them, with a break."""
    generator = np.random.default_rng(1)
    (tmp_path / "more").mkdir()
    for number in range(200):
        pixels = generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "more" / f"{number:03d}.png")
    words = ["distill", "--data", str(frames), "--teacher", str(teacher), "--student", "lite_s", "--method", "kd"]
    for name, more in (("with", ["--unlabeled", str(tmp_path / "more")]), ("without", [])):
        assert run([*words, *QUICK, *more, "-o", str(tmp_path / name), "-q"]) == 0
    learnt, other = (load_student(tmp_path / name).state_dict() for name in ("with", "without"))
    assert any(not torch.equal(learnt[key], other[key]) for key in learnt)

    listed = sorted((tmp_path / "more").iterdir())
    (tmp_path / "half.txt").write_text("".join(f"{path}\n" for path in listed[:90]))
    predicting = ["predict", tmp_path / "with", "-o", tmp_path / "masks", "--resume", "--soft"]
    assert result(capsys, *predicting, f"@{tmp_path / 'half.txt'}")["written"] == 90
    summary = result(capsys, *predicting, tmp_path / "more")
    assert (summary["written"], summary["skipped"], summary["failed"]) == (110, 90, [])
    assert len(list((tmp_path / "masks").glob("*_soft.npz"))) == 200


def test_grey_images_of_sixteen_bits_from_training_to_masks(
    frames: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `predict` does to them is said, and is what training did: an image of the same bytes gets the same mask."""
    scores = result(capsys, "evaluate", teacher, "--data", frames)["scores"]
    assert 0 <= scores["miou"] <= 1
    (tmp_path / "bytes").mkdir()
    for path in (frames / "images").iterdir():
        with Image.open(path) as image:
            assert image.mode == "I;16"
            Image.fromarray((np.asarray(image).astype(int) * 255 // 65535).astype(np.uint8)).save(
                tmp_path / "bytes" / path.name
            )
    assert run(["predict", str(teacher), str(frames / "images"), "-o", str(tmp_path / "deep"), "--device", "cpu"]) == 0
    assert "16-bit values are scaled to 8 bits" in capsys.readouterr().out
    assert result(capsys, "predict", teacher, tmp_path / "bytes", "-o", tmp_path / "flat")["written"] == 6
    for path in (frames / "images").iterdir():
        with Image.open(tmp_path / "deep" / path.name) as deep, Image.open(tmp_path / "flat" / path.name) as flat:
            assert deep.size == SIZE[::-1]
            assert np.array_equal(np.asarray(deep), np.asarray(flat))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_an_image_of_twelve_million_pixels_in_bounded_memory(tmp_path: Path) -> None:
    """By itself `predict` takes windows; a process that may not allocate more than the limit finishes within it."""
    assert 4 * CLASSES * LARGE[0] * LARGE[1] > LIMIT
    network = load_network("lite_s", num_classes=CLASSES, options={"widths": [4, 4, 4, 4], "channels": 4})
    save_student(network, tmp_path / "student", metadata={})
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    coarse.save(tmp_path / "small.png")
    coarse.resize(LARGE[::-1], Image.Resampling.BILINEAR).save(tmp_path / "large.png")
    paths = [str(tmp_path / name) for name in ("student", "small.png", "large.png", "masks")]
    command = [sys.executable, "-c", MEASURED, *paths, str(LIMIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, measured = done.stdout, json.loads(done.stdout.splitlines()[-1])
    assert "3000x4000 are more than 4194304 pixels" in said
    assert measured["code"] == 0, said
    assert measured["taken"] < LIMIT
    with Image.open(tmp_path / "masks" / "large.png") as mask:
        assert mask.size == LARGE[::-1]
        assert mask.getextrema()[1] < CLASSES
