"""Is a wrong study refused with one clear line before anything is trained, and does the command show its table?"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from foglight.cli import run
from foglight.study import study as studies

STUDY: dict[str, Any] = {
    "title": "Tiny",
    "teachers": {"big": {"recipe": "fogtown_demo_teacher"}},
    "student": {"recipe": "fogtown_demo_student"},
    "seeds": [0, 1],
    "arms": {"ce": {"method": "ce"}, "kd": {"method": "kd", "teacher": "big"}},
    "comparisons": [{"arm": "kd", "against": "ce"}],
}
Change = Callable[[dict[str, Any]], object]


def write(folder: Path, change: Change = lambda study: None) -> Path:
    content = yaml.safe_load(yaml.safe_dump(STUDY))
    change(content)
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture
def nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that slips through fails at once and does not train for minutes."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not refused")

    monkeypatch.setattr(studies, "fix", refuse)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(arm={}), "arm: unknown key; did you mean 'arms'?"),
        (lambda s: s["arms"]["ce"].update(metod="kd"), "arms.ce.metod: unknown key; did you mean 'method'?"),
        (
            lambda s: s["arms"]["ce"].update(losses=["kd"]),
            "arms.ce: expected exactly one of method and losses, got both",
        ),
        (lambda s: s["arms"]["ce"].pop("method"), "arms.ce: expected exactly one of method and losses, got none"),
        (lambda s: s["arms"]["ce"].update(method="cee"), "arms.ce: method 'cee' is unknown"),
        (lambda s: s["arms"]["kd"].update(teacher="bigg"), "there is no teacher 'bigg'; did you mean 'big'?"),
        (lambda s: s["arms"]["ce"].update(match_time_of="kdd"), "there is no arm 'kdd'; did you mean 'kd'?"),
        (
            lambda s: s["arms"].update(
                a={"method": "ce", "match_time_of": "b"}, b={"method": "ce", "match_time_of": "ce"}
            ),
            "arms.a.match_time_of: 'b' is matched itself",
        ),
        (lambda s: s["arms"]["ce"].update(set={"optim.lrr": 1}), "optim.lrr: unknown key; did you mean 'lr'?"),
        (lambda s: s["arms"]["ce"].update(set={"seed": 1}), "seed is not for `set`"),
        (lambda s: s["arms"]["ce"].update(set={"budget": {"seconds": 9}}), "expected steps or samples, got seconds"),
        (lambda s: s["arms"]["ce"].update(pseudo_labels="big"), "expected unlabelled images"),
        (lambda s: s["student"].update(recipe="nowhere"), "nowhere: no such file, and no recipe of that name"),
        (lambda s: s.update(seeds=[]), "seeds: expected at least one"),
        (lambda s: s.update(arms={}, comparisons=[]), "arms: expected at least one"),
        (lambda s: s.update(seeds=[1, 1]), "seeds: expected each once, got [1, 1]"),
        (lambda s: s.update(seeds=["one"]), "seeds.0: expected a whole number, got 'one'"),
        (lambda s: s.update(metrics=["nll"]), "metrics: expected miou among them"),
        (lambda s: s.update(metrics=["miuo"]), "did you mean 'miou'?"),
        (lambda s: s["comparisons"][0].update(against="kd"), "compares 'kd' with itself"),
        (lambda s: s["comparisons"][0].update(against="c"), "there is no arm 'c'"),
        (lambda s: s.update(evaluations={"report": {}}), "evaluations.report: is there already"),
        (lambda s: s.update(evaluations={"x": {"part": "val"}}), "evaluations.x.part: expected 'train'"),
        (lambda s: s.update(arms={"a/b": {"method": "ce"}}), "a/b"),
        (lambda s: s["arms"].update(few="kd"), "arms.few: expected a mapping"),
    ],
)
@pytest.mark.usefixtures("nothing_is_trained")
def test_a_wrong_study_is_refused_by_one_line(
    change: Change, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, change)
    assert run(["study", str(file), "-o", str(tmp_path / "out"), "--quiet"]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert str(file) in error
    assert error.count("\n") == 0
    assert not (tmp_path / "out").exists()


def test_every_mistake_is_listed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(study: dict[str, Any]) -> None:
        study["arms"]["ce"]["metod"] = "kd"
        study["seeds"] = 3
        del study["title"]

    assert run(["study", str(write(tmp_path, change)), "-q"]) == 2
    error = capsys.readouterr().err
    assert "3 errors" in error
    assert all(place in error for place in ("arms.ce.metod", "seeds", "title"))


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "title: [\n"])
def test_a_file_that_is_no_study(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.yaml").write_text(content)
    assert run(["study", str(tmp_path / "study.yaml"), "-q"]) == 2
    assert "study.yaml" in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", str(tmp_path / "none.yaml"), "-q"]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_a_table_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", str(write(tmp_path)), "-o", str(tmp_path / "out"), "--only-table", "-q"]) == 2
    assert "out: holds no study, fixed.json is missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_broken_record_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fixed.json").write_text('{"digest": ')
    assert run(["study", str(write(tmp_path)), "-o", str(tmp_path / "out"), "-q"]) == 2
    assert "fixed.json: cannot be read" in capsys.readouterr().err


def test_words_reach_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[Any, ...]] = []

    def record(file: Path, folder: Path, *, root: Path, at_a_time: int, progress: object) -> studies.StudyResult:
        made.append((file, folder, root, at_a_time))
        return studies.StudyResult(folder, "| table |", {"arms": []}, True, (folder / "table.md",))

    monkeypatch.setattr(studies, "run_study", record)
    file = write(tmp_path)
    assert run(["study", str(file), "--root", "frames", "--jobs", "2", "--json"]) == 0
    assert made == [(file, Path("runs") / f"{tmp_path.name}-study", Path("frames"), 2)]
    assert json.loads(capsys.readouterr().out) == {"arms": []}
    assert run(["study", str(file), "-q"]) == 0
    assert capsys.readouterr().out.strip() == "| table |"
