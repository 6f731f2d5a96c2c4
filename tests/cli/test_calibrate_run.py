"""From a run folder: is a calibration fitted, stored, shown and applied, and is every bad input one line?"""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foglight.calibration import read_calibration
from foglight.cli import run
from foglight.data.images import read_image
from foglight.engine.calibrate import Temperature
from foglight.engine.evaluate import EvaluateSettings
from foglight.models.student_file import load_student
from foglight.prediction.image import uncertainty_strips

CLASSES = 12
FOGTOWN = ["--data", "fogtown", "--set", "data.options.frames=4", "--set", "data.options.towns=2"]
TINY = ["--set", "data.size=[32, 64]", "--set", "data.augment.crop=[32, 32]", "--set", "data.batch_size=2"]
FAST = ["--steps", "6", "--device", "cpu", "--set", "engine.tensorboard=false", "--set", "engine.threads=1"]
OPTIM = ["--set", "optim.name=adamw", "--set", "optim.lr=0.003", "--no-preflight", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run(["train", "--student", "lite_s", *FOGTOWN, *TINY, *FAST, *OPTIM, "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert run([*words, "--json", "--device", "cpu"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_temperature_is_stored_and_evaluate_has_a_column_for_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (folder / "student.safetensors").read_bytes()
    before = json.loads((folder / "student.json").read_text())
    report = said(capsys, "calibrate", str(folder))
    after = json.loads((folder / "student.json").read_text())
    assert after.pop("calibration") == report["calibration"]
    assert before.pop("calibration") is None
    assert (before, weights) == (after, (folder / "student.safetensors").read_bytes())
    entry = report["calibration"]
    assert isinstance(entry, dict)
    assert entry["fitted_on"] == {"data": "fogtown", "part": "tune"}
    assert entry["nll_after"] <= entry["nll_before"]
    fitted = read_calibration(folder / "student.safetensors")
    assert isinstance(fitted, Temperature)
    assert fitted.value == entry["temperature"]

    scores = said(capsys, "evaluate", str(folder), "--part", "tune")
    assert isinstance(scores["scores"], dict)
    assert isinstance(scores["scaled"], dict)
    assert scores["scores"]["nll"] == pytest.approx(entry["nll_before"], rel=1e-5)
    assert scores["scaled"]["nll"] == pytest.approx(entry["nll_after"], rel=1e-5)
    assert scores["calibration"] == f"T = {fitted.value:.3f}"
    assert "fitted on these very frames" in str(scores["notes"])
    by_hand = said(capsys, "evaluate", str(folder), "--part", "tune", "--temperature", str(fitted.value))
    assert by_hand["scaled"] == scores["scaled"]
    assert run(["evaluate", str(folder / "student.safetensors"), "--device", "cpu"]) == 0
    assert f"raw  T = {fitted.value:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["class-conditional", "matrix-scaling", "order-preserving-matrix"])
def test_other_methods_are_stored_read_back_and_replaced(
    method: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = said(capsys, "calibrate", str(folder), "--method", method)["calibration"]
    assert isinstance(entry, dict)
    scores = said(capsys, "evaluate", str(folder), "--part", "tune")["scaled"]
    assert isinstance(scores, dict)
    assert scores["nll"] == pytest.approx(entry["nll_after"], rel=1e-4)
    assert isinstance(entry["temperature"], list) == (method == "class-conditional")
    said(capsys, "calibrate", str(folder))
    assert not (folder / "student.calibrator.pt").exists()


def test_without_a_calibration_there_is_one_column_and_predict_says_how_to_get_one(
    folder: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "evaluate", str(folder))["scaled"] is None
    assert run(["predict", str(folder), str(picture), "-o", str(tmp_path / "out"), "--calibrated"]) == 2
    assert f"run `foglight calibrate {folder}`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_maps_are_written_with_the_scale_that_reads_them_back(
    folder: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "calibrate", str(folder))
    words = ["predict", str(folder), str(picture), "--uncertainty", "all", "--passes", "3", "--calibrated"]
    for more in ([], ["--raw"]):
        said(capsys, *words, "-o", str(tmp_path / "out"), *more)
    settings = EvaluateSettings(calibrator=read_calibration(folder))
    image = read_image(picture)
    ((_, found),) = uncertainty_strips(load_student(folder), image, settings, input_size=(32, 64), passes=3)
    sidecar = json.loads((tmp_path / "out" / "uncertainty.json").read_text())
    assert (sidecar["passes"], sidecar["num_classes"]) == (3, CLASSES)
    assert sidecar["calibration"]["method"] == "temperature"
    with Image.open(tmp_path / "out" / "a.png") as written:
        mask = torch.from_numpy(np.array(written)).long()
    expected = {
        "sigma": found.sigma[0].gather(0, mask[None])[0],
        "entropy": found.entropy[0, 0],
        "mutual-information": found.mutual_information[0, 0],
    }
    for kind, values in expected.items():
        highest = 0.5 if kind == "sigma" else math.log(CLASSES)
        assert sidecar["maps"][kind]["maximum"] == highest
        with Image.open(tmp_path / "out" / f"a_{kind}.png") as grey:
            assert grey.mode == "I;16"
            read = np.array(grey) * highest / 65535
        np.testing.assert_allclose(read, values.numpy(), atol=highest / 65535)
        np.testing.assert_allclose(np.load(tmp_path / "out" / f"a_{kind}.npy"), values.numpy(), atol=1e-6)
        with Image.open(tmp_path / "out" / f"a_{kind}_preview.png") as preview:
            assert (preview.mode, preview.size) == ("RGB", (80, 40))


def test_windows_change_the_maps(
    folder: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(folder), str(picture), "--uncertainty", "entropy", "--passes", "2", "--raw"]
    said(capsys, *words, "-o", str(tmp_path / "whole"))
    said(capsys, *words, "-o", str(tmp_path / "windows"), "--sliding", "16x32")
    whole, windows = (np.load(tmp_path / name / "a_entropy.npy") for name in ("whole", "windows"))
    assert whole.shape == windows.shape
    assert not np.allclose(whole, windows)


@pytest.mark.parametrize("mode", ["I;16", "L", "RGBA", "LA", "P", "1"])
def test_images_of_any_mode_are_predicted(
    mode: str, folder: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """16-bit is scaled to bytes, grey is repeated over the channels, transparency is dropped."""
    with Image.open(picture) as image:
        if mode == "I;16":
            odd = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        else:
            odd = image.convert(mode)
    odd.save(tmp_path / "odd.png")
    summary = said(capsys, "predict", str(folder), str(tmp_path / "odd.png"), "-o", str(tmp_path / "out"))
    assert (summary["written"], summary["failed"]) == (1, [])


def no_student(folder: Path) -> None:
    (folder / "student.json").unlink()


def truncated(folder: Path) -> None:
    text = (folder / "student.json").read_text()
    (folder / "student.json").write_text(text[: len(text) // 2])


def half_a_description(folder: Path) -> None:
    (folder / "student.json").write_text('{"format": 1, "name": "lite_s"}')


def other_weights(folder: Path) -> None:
    (folder / "student.safetensors").write_bytes(b"something else")


def damaged_calibration(folder: Path) -> None:
    described = json.loads((folder / "student.json").read_text())
    facts = {"frames": 1, "pixels": 1, "nll_before": 1.0, "nll_after": 1.0}
    described["calibration"] = {"method": "temperature", "temperature": -1, **facts}
    (folder / "student.json").write_text(json.dumps(described))


BROKEN = [
    (no_student, r"student\.json: No such file"),
    (truncated, r"student\.json: not JSON"),
    (half_a_description, r"student\.json: .*sha256 missing"),
    (other_weights, r"student\.safetensors"),
]


@pytest.mark.parametrize("command", ["calibrate", "evaluate", "predict"])
@pytest.mark.parametrize(("spoil", "expected"), [*BROKEN, (damaged_calibration, r"student\.json: its calibration")])
def test_a_broken_run_folder_is_one_line(
    command: str,
    spoil: Callable[[Path], None],
    expected: str,
    folder: Path,
    picture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(folder)
    if command == "calibrate" and spoil is damaged_calibration:
        assert run(["calibrate", str(folder), "--device", "cpu"]) == 0  # which mends it
        return
    more = [str(picture), "-o", str(tmp_path / "out"), "--calibrated"] if command == "predict" else []
    assert_one_line(capsys, [command, str(folder), *more, "--device", "cpu"], expected)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["calibrate", "RUN", "--data", "OTHER"], "predicts 12 classes, .* has 2"),
        (["evaluate", "RUN", "--data", "OTHER"], "predicts 12 classes, .* has 2"),
        (["calibrate", "RUN", "--method", "temprature"], "did you mean 'temperature'"),
        (["calibrate", "RUN", "--part", "all"], "--part: expected train, tune or report"),
        (["calibrate", "lite_s", "--data", "fogtown"], "student.json: No such file"),
        (["evaluate", "RUN", "--temperature", "0"], "--temperature: expected a number above 0"),
        (["predict", "RUN", "PICTURE", "-o", "OUT", "--uncertainty", "variance"], "--uncertainty: expected all"),
        (["predict", "RUN", "PICTURE", "-o", "OUT", "--sliding", "big"], "--sliding: expected HxW"),
    ],
)
def test_bad_words_are_one_line(
    words: list[str],
    expected: str,
    folder: Path,
    picture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "other"
    for name in "abcdef":
        for kind, mode in (("images", "RGB"), ("masks", "L")):
            (other / kind).mkdir(parents=True, exist_ok=True)
            Image.new(mode, (32, 32)).save(other / kind / f"{name}_0.png")
    (other / "classes.yaml").write_text("names: [road, car]\n")
    places = {"RUN": folder, "OTHER": other, "PICTURE": picture, "OUT": tmp_path / "out"}
    before = (folder / "student.json").read_text()
    assert_one_line(capsys, [*(str(places.get(word, word)) for word in words), "--device", "cpu"], expected)
    assert (folder / "student.json").read_text() == before
    assert not (tmp_path / "out").exists()


def test_without_dropout_sigma_is_refused_by_name_and_entropy_still_works(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = str(tmp_path / "dry")
    without = ["--set", "student.options.dropout=0.0"]
    assert run(["train", "--student", "lite_s", *FOGTOWN, *TINY, *FAST, *OPTIM, *without, "-o", dry]) == 0
    predict = ["predict", dry, str(picture), "-o", str(tmp_path / "out"), "--device", "cpu", "--uncertainty"]
    assert_one_line(capsys, [*predict, "all"], "sigma and mutual-information: lite_s has no active dropout.*entropy")
    assert not (tmp_path / "out").exists()
    assert run([*predict, "entropy"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.png",
        "a_entropy.png",
        "a_entropy_preview.png",
        "uncertainty.json",
    ]


def assert_one_line(capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    capsys.readouterr()
    assert run(words) == 2
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    assert "internal error" not in message
    assert re.search(expected, message), message
