"""Is a method that cannot work refused with one line that says what would work, and is nothing left behind?"""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foglight.cli import run

SMALL = ["data.size=[32, 64]", "data.augment.crop=[32, 64]", "data.batch_size=3", "optim.name=adamw"]
SMALL += ["--device", "cpu", "--steps", "2", "--set", "engine.threads=1", "--set", "engine.tensorboard=false"]
FOGTOWN = ["--data", "fogtown", "data.options.frames=6", "data.options.towns=2"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    assert run(["train", "--student", "lite_m", *FOGTOWN, *SMALL, "-o", str(folder)]) == 0
    return str(folder)


def distil(teacher: str, output: Path, *words: str) -> int:
    networks = ["--teacher", teacher, "--student", "lite_s", "--allow", "weak-teacher"]
    return run(["distill", *networks, *FOGTOWN, *SMALL, "-o", str(output), *words])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "cwdd"], r"method 'cwdd' is unknown.*did you mean 'cwd'"),
        (["--method", "kd+fotff"], r"'fotff' is unknown.*did you mean 'fotf'"),
        (["--method", "kd", "losses.1.name=kdd"], r"'kdd'.*did you mean 'kd'"),
        (["--method", "kd", "losses.1.options.temprature=2"], r"'temprature', did you mean 'temperature'"),
        (["--method", "kd", "losses.1.options.temperature=hot"], r"temperature: .*number.*'hot'"),
        (["--method", "fitnet", "losses.2.options.tap=layer9"], r"one of the taps stage1, .*layer4, .*got 'layer9'"),
        (["--method", "cirkd_memory", "losses.2.options.pixel_memory_size=200000000"], r"at most 8 GiB.*GiB"),
        (["--method", "sp", "data.batch_size=1"], r"sp compares the images.* needs 2 .* is 1 .*few-images"),
        (["--method", "rkd", "data.batch_size=2"], r"rkd compares the images.* needs 3 .* is 2 .*few-images"),
        (["--method", "cirkd", "data.batch_size=1"], r"cirkd_minibatch compares the images.*few-images"),
        (["--method", "kd+fotf", "losses.1.pixel_weight.granularity=pixels"], r"pixel_weight\.granularity.*pixels"),
    ],
)
def test_a_method_that_cannot_work(
    words: list[str], expected: str, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert distil(teacher, tmp_path / "run", *words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert re.search(expected, said.replace("\n", " ")), said
    assert not (tmp_path / "run").exists()


def test_a_refused_batch_can_be_allowed(teacher: str, tmp_path: Path) -> None:
    words = ["--method", "cirkd_minibatch", "data.batch_size=1", "--allow", "few-images"]
    assert distil(teacher, tmp_path / "run", *words) == 0


@pytest.mark.parametrize("method", ["sp", "rkd"])
def test_cells_of_one_image_can_be_compared(method: str, teacher: str, tmp_path: Path) -> None:
    words = ["--method", method, "data.batch_size=1", "losses.1.options.points=grid"]
    assert distil(teacher, tmp_path / "run", *words) == 0


def test_a_weight_of_zero_is_left_out_with_a_word(
    teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distil(teacher, tmp_path / "run", "--method", "skd", "losses.3.weight=0") == 0
    assert "skd_holistic: weight 0, left out" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["dist", "dkd", "lix"])
def test_too_few_classes(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for drive in "abc":
        for frame in range(2):
            for kind, values in (
                ("images", np.full((32, 64, 3), 40 * frame)),
                ("masks", np.indices((32, 64))[1] // 32),
            ):
                path = tmp_path / "own" / kind / f"{drive}_{frame}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(path)
    (tmp_path / "own" / "classes.yaml").write_text("names: [road, car]\n")
    data = ["--data", str(tmp_path / "own"), *SMALL]
    assert run(["train", "--student", "lite_s", *data, "-o", str(tmp_path / "teacher")]) == 0
    networks = ["--teacher", str(tmp_path / "teacher"), "--student", "lite_s", "--allow", "weak-teacher"]
    capsys.readouterr()
    assert run(["distill", *networks, *data, "--method", method, "-o", str(tmp_path / "run")]) == 2
    assert re.search(r"compares the classes of a pixel and needs 3 of them, the data has 2", capsys.readouterr().err)
