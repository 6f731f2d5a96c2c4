"""Do `evaluate` and `predict` pass on what was asked, and say what came of it?"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foglight import api
from foglight.cli import run
from foglight.config.load import build_config, dump_config

REPORT = api.EvaluationReport(
    "m", "tune", 3, 10, {"miou": 0.5, "per_class": [{"name": "road", "iou": None}]}, ("a note",)
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def evaluate(model: str, **rest: Any) -> api.EvaluationReport:
        seen.update(rest, model=model)
        return REPORT

    def predict(model: str, images: list[Path], output: Path, **rest: Any) -> SimpleNamespace:
        seen.update(rest, model=model, images=images, output=output)
        good = [path for path in images if path.name != "bad.png"]
        failed = tuple((path, "truncated") for path in images if path.name == "bad.png")
        return SimpleNamespace(written=len(good), skipped=0, failed=failed, to_dict=lambda: {"written": len(good)})

    monkeypatch.setattr(api, "evaluate", evaluate)
    monkeypatch.setattr(api, "predict", predict)
    return seen


def test_evaluate_passes_settings_and_writes_scores(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    arguments = ["evaluate", "m", "--data", "camvid", "--root", "frames", "--part", "tune", "--sliding", "96x128"]
    more = [
        "--overlap",
        "0.25",
        "--flip",
        "--scales",
        "0.5,1",
        "--mc",
        "7",
        "--batch-size",
        "2",
        "-o",
        str(file),
        "--json",
    ]
    assert run([*arguments, *more, "--device", "cpu"]) == 0
    expected = api.EvaluateSettings(sliding=(96, 128), overlap=0.25, flip=True, scales=(0.5, 1.0), mc=7)
    assert (asked["settings"], asked["part"], asked["device"]) == (expected, "tune", "cpu")
    assert (asked["data"].name, asked["data"].root, asked["data"].batch_size) == ("camvid", "frames", 2)
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads(file.read_text()) == REPORT.to_dict()
    assert "a note" in captured.err


def test_a_run_folder_knows_its_own_data(asked: dict[str, Any], tmp_path: Path) -> None:
    content = {"student": "lite_s", "data": {"name": "camvid", "root": "frames", "size": [144, 192]}}
    (tmp_path / "config.yaml").write_text(dump_config(build_config(content)))
    run(["evaluate", str(tmp_path)])
    assert (asked["data"].name, asked["data"].root, asked["data"].size) == ("camvid", "frames", (144, 192))
    run(["evaluate", str(tmp_path), "--data", "camvid", "--root", "other"])
    assert (asked["data"].root, asked["data"].size) == ("other", (144, 192))
    run(["evaluate", str(tmp_path), "--data", "fogtown"])
    assert (asked["data"].name, asked["data"].root, asked["data"].size) == ("fogtown", None, None)


def test_predict_lists_bad_files_and_fails_only_where_nothing_was_written(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "m", "good.png", "bad.png", "-o", "masks", "--overlay", "--alpha", "0.3"]) == 0
    assert (asked["overlay"], asked["alpha"], asked["output"]) == (True, 0.3, Path("masks"))
    output = capsys.readouterr().out
    assert "failed   bad.png: truncated" in output
    assert "1 masks, 1 files failed" in output
    assert run(["predict", "m", "bad.png", "-o", "masks"]) == 2
