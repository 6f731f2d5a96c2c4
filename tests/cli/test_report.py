"""Is every bad input to `foglight report` one clear line with exit code 2, and a good one a page?"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foglight.cli import run
from foglight.config.schema import RunConfig
from report.builders import CLASSES, own_data, small_config, stored_run


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return small_config(own_data(tmp_path / "data"))


@pytest.fixture
def alone(tmp_path: Path, config: RunConfig) -> Path:
    return stored_run(tmp_path / "runs" / "alone", config)


def cut(name: str) -> Callable[[Path], None]:
    """A file of the folder ends in the middle."""

    def damage(folder: Path) -> None:
        path = folder / name
        content = path.read_bytes() if path.exists() else b'{"student": {"miou": 0.5}}'
        path.write_bytes(content[: len(content) // 2 - 3])

    return damage


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def text(name: str, content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(content)

    return write


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (removed("config.yaml"), "no run folder, config.yaml is missing"),
        (removed("student.json"), "holds no student, student.json is missing"),
        (removed("student.safetensors"), "holds no student, student.safetensors is missing"),
        (cut("student.json"), "student.json: not JSON"),
        (cut("student.safetensors"), "student.safetensors"),
        (cut("metrics.jsonl"), "metrics.jsonl: damaged, line"),
        (text("metrics.jsonl", '{"kind": "train"}\n'), "metrics.jsonl: damaged, line 1 has no step and kind"),
        (cut("result.json"), "result.json: damaged, no JSON"),
        (text("result.json", '{"student": [1]}'), "result.json: damaged, its student has no scores"),
        (text("result.json", "[]"), "result.json: damaged, expected a mapping"),
        (text("preflight.json", "{"), "preflight.json: damaged"),
        (text("config.yaml", "student: [lite_s"), "config.yaml"),
    ],
)
def test_a_damaged_folder_is_one_line(
    damage: Callable[[Path], None], words: str, alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(alone)
    refused([str(alone)], words, tmp_path, capsys)


def refused(runs: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder / "report.html"
    arguments = runs if "-o" in runs else [*runs, "-o", str(output)]
    assert run(["report", *arguments, "--images", "1", "-q"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert "To mend it: " in said
    assert not list(folder.rglob("*.html"))
    assert not list(folder.rglob("*.tmp"))


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused([str(tmp_path / "nowhere")], "nowhere: no such folder", tmp_path, capsys)


def test_no_run_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report"]) == 2
    assert "RUN" in capsys.readouterr().err


def test_runs_of_different_classes(
    alone: Path, config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = stored_run(tmp_path / "runs" / "other", config, classes=CLASSES[:3])
    refused([str(alone), str(other)], "have different classes: 3 (road", tmp_path, capsys)


def test_runs_of_different_data(
    alone: Path, config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = config.data.model_copy(update={"size": (48, 64)})
    other = stored_run(tmp_path / "runs" / "other", config.model_copy(update={"data": data}))
    refused([str(alone), str(other)], "scored on different data: data.size", tmp_path, capsys)


def test_a_student_of_other_classes_than_the_data(
    config: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = stored_run(tmp_path / "runs" / "other", config, classes=CLASSES[:3])
    refused([str(other)], "classes are not those of", tmp_path, capsys)


def test_an_output_folder_that_is_missing(alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "no" / "such" / "page.html"
    refused([str(alone), "-o", str(missing)], "expected an existing folder to write into", tmp_path, capsys)
    refused([str(alone), "-o", str(tmp_path)], "expected a file", tmp_path, capsys)
    assert not missing.parent.exists()


def test_a_page_and_its_figures(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By default the page lies in the folder of a single run; `--json` gives its figures without pictures."""
    assert run(["report", str(alone), "--images", "1", "--json"]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert figures["file"] == str(alone / "report.html")
    assert (alone / "report.html").read_text().startswith("<!doctype html>")
    assert [(arm["title"], arm["role"]) for arm in figures["arms"]] == [("alone", "trained")]
    assert set(figures["arms"][0]["raw"]) >= {"miou", "nll", "brier", "ece_15", "per_class"}
    assert "data:image" not in captured.out
    assert "written" in captured.err
