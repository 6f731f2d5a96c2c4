"""Does a study compare what it says, once, and go on where it stopped?"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from foglight.config.load import read_config
from foglight.errors import CheckpointError, ConfigurationError
from foglight.study import jobs
from foglight.study.fixed import FIXED
from foglight.study.load import load_study
from foglight.study.schedule import LOGS
from foglight.study.study import run_study, tabulate
from foglight.study.timing import settled_budgets
from study.builders import tiny_study

Finished = tuple[Path, Path]


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Finished:
    """A finished study of one's own."""
    shutil.copytree(finished[0].parent, tmp_path / "study")
    return tmp_path / "study" / "study.yaml", tmp_path / "study" / "out"


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "study.json").read_text())


def weights(folder: Path, arm: str, seed: int) -> dict[str, torch.Tensor]:
    return load_file(folder / "runs" / arm / f"seed{seed}" / "student.safetensors")


def test_arms_that_are_the_same_differ_by_nothing_at_all(finished: Finished) -> None:
    """Same seed, same data order and first weights: the pairing is exact, so every difference is 0."""
    found = record(finished[1])["differences"]
    assert {entry["score"] for entry in found} == {
        "report/miou", "report/nll", "report/nll/scaled", "clip/miou", "clip/nll",
    }  # fmt: skip
    for entry in found:
        assert entry["mean"] == 0.0
        if entry["seeds"] == 2:
            assert (entry["low"], entry["high"]) == (0.0, 0.0)
        assert entry["verdict"] == ("equivalent" if entry["score"].endswith("miou") else "undecided")


def test_another_seed_is_another_run(finished: Finished) -> None:
    first, second = weights(finished[1], "ce", 0), weights(finished[1], "ce", 1)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_figures_of_an_arm_are_those_of_its_runs(finished: Finished) -> None:
    content = record(finished[1])
    arm = next(entry for entry in content["arms"] if entry["name"] == "ce")
    one, two = (entry["scores"]["report/nll"] for entry in content["runs"] if entry["name"] == "ce")
    assert arm["scores"]["report/nll"]["mean"] == pytest.approx((one + two) / 2)
    assert arm["scores"]["report/nll"]["sd"] == pytest.approx(abs(one - two) / 2**0.5)
    result = json.loads((finished[1] / "runs" / "ce" / "seed0" / "result.json").read_text())
    assert one == result["student"]["nll"]


def test_frames_of_the_tune_part_get_no_scaled_scores(finished: Finished) -> None:
    """A temperature scored on the frames of its own fit would flatter every arm."""
    for run in record(finished[1])["runs"]:
        assert run["scores"].get("clip/nll/scaled") is None
        assert run["temperatures"]["clip"] is None
    assert any("tune part" in note for note in record(finished[1])["notes"]["clip"])


def test_finished_runs_are_not_repeated(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(jobs, "run", refuse)
    before = (finished[1] / "table.md").read_text()
    assert run_study(*finished).table == before


def test_a_run_that_is_missing_is_named_and_then_made_as_it_was(copied: Finished) -> None:
    file, folder = copied
    before, kept = (folder / "table.md").read_text(), weights(folder, "ce", 1)
    shutil.rmtree(folder / "runs" / "ce" / "seed1")
    partial = tabulate(file, folder)
    assert not partial.complete
    assert "3 of 4 runs finished (missing: ce, seed 1)" in partial.table
    assert run_study(file, folder).table == before
    assert all(torch.equal(values, kept[name]) for name, values in weights(folder, "ce", 1).items())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": [0, 2]}, "seeds"),
        ({"arms": {"ce": {"method": "ce"}, "again": {"method": "ce-weighted"}}}, "arms.again"),
        ({"set": {"optim.lr": 0.1}}, "arms.ce, arms.again"),
        ({"comparisons": []}, "comparisons"),
    ],
)
def test_a_changed_file_is_refused_by_what_changed(copied: Finished, changes: dict[str, Any], named: str) -> None:
    file = tiny_study(copied[0].parent, **changes)
    with pytest.raises(CheckpointError, match=rf"changed: {named}\."):
        run_study(file, copied[1])
    with pytest.raises(CheckpointError, match="changed"):
        tabulate(file, copied[1])


def test_where_data_lies_and_what_it_is_called_may_change(copied: Finished, tmp_path: Path) -> None:
    file = tiny_study(copied[0].parent, title="Another title", results="kept")
    result = run_study(file, copied[1], root=tmp_path)
    assert result.table.startswith("# Another title")
    assert (file.parent / "kept" / "table.md").read_text() == result.table
    assert json.loads((file.parent / "kept" / "study.json").read_text())["digest"] == record(copied[1])["digest"]


def test_a_matched_arm_gets_the_steps_that_the_time_buys(tmp_path: Path) -> None:
    arms = {"ce": {"method": "ce", "match_time_of": "kd"}, "kd": {"method": "kd", "teacher": "big"}}
    teachers = {"big": {"recipe": "base.yaml", "set": {"student": "lite_m"}}}
    file = tiny_study(tmp_path, teachers=teachers, arms=arms, comparisons=[], set={"budget.steps": 700})
    steps = settled_budgets(load_study(file), {"ce": 0.102, "kd": 0.143})
    assert steps == {"ce": round(700 * 0.143 / 0.102), "kd": 700}


def test_recipes_are_changed_from_the_general_to_the_particular(tmp_path: Path) -> None:
    teachers = {"big": {"recipe": "base.yaml", "set": {"student": "lite_m"}, "seed": 7}}
    arms = {"kd": {"method": "kd", "teacher": "big", "set": {"losses.1.weight": 2, "data.batch_size": 3}}}
    file = tiny_study(
        tmp_path, teachers=teachers, arms=arms, comparisons=[], set={"optim.lr": 0.5, "data.batch_size": 4}
    )
    planned = load_study(file, root=Path("elsewhere"))
    arm, teacher = planned.arms["kd"], planned.teachers["big"]
    assert (arm.data.batch_size, teacher.data.batch_size) == (3, 4)
    assert (arm.student.name, teacher.student.name) == ("lite_s", "lite_m")
    assert (arm.seed, teacher.seed, arm.optim.lr, arm.losses[1].weight) == (0, 7, 0.5, 2)
    assert arm.data.root == teacher.data.root == planned.parts["clip"].data.root == "elsewhere"


def test_what_cannot_be_built_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tiny_study(tmp_path, arms={"ce": {"method": "ce"}, "again": {"method": "kd"}})
    with pytest.raises(ConfigurationError, match=r"arms\.again: .*expected a teacher"):
        run_study(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_at_a_time_give_what_one_at_a_time_gives(tmp_path: Path) -> None:
    """Teachers first, pseudo-labels and all, in processes of their own; bit for bit."""
    teachers = {"big": {"recipe": "base.yaml", "set": {"student": "lite_m", "budget.steps": 6}}}
    share = {"data.labelled_share": 0.4}
    arms = {
        "kd": {"method": "kd", "teacher": "big", "set": share},
        "pseudo": {"method": "ce", "pseudo_labels": "big", "set": share},
    }
    comparisons = [{"arm": "kd", "against": "pseudo"}]
    file = tiny_study(tmp_path, teachers=teachers, arms=arms, comparisons=comparisons, seeds=[0])
    run_study(file, tmp_path / "two", at_a_time=2)
    assert read_config(tmp_path / "two" / "runs" / "pseudo" / "seed0" / "config.yaml").data.pseudo_labels == str(
        tmp_path / "two" / "teachers" / "big"
    )
    # The same steps per second, so that nothing differs but the processes.
    (tmp_path / "one").mkdir()
    shutil.copy(tmp_path / "two" / FIXED, tmp_path / "one" / FIXED)
    run_study(file, tmp_path / "one")
    for arm in arms:
        first, second = weights(tmp_path / "one", arm, 0), weights(tmp_path / "two", arm, 0)
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert record(tmp_path / "one")["differences"] == record(tmp_path / "two")["differences"]


@pytest.mark.slow
def test_a_run_that_fails_in_its_own_process_says_why_in_one_line(copied: Finished) -> None:
    file, folder = copied
    shutil.rmtree(folder / "runs" / "ce" / "seed1")
    broken = folder / "runs" / "ce" / "seed1"
    broken.mkdir()
    (broken / "run.json").write_text(json.dumps({"requested": "another", "steps": 4}))
    with pytest.raises(ConfigurationError, match=r"ce, seed 1: .*holds a run with another configuration") as caught:
        run_study(file, folder, at_a_time=2)
    assert "\n" not in str(caught.value)
    assert (folder / LOGS / "ce-seed1.txt").exists()


def test_the_study_as_given_stands_in_its_folder(finished: Finished) -> None:
    assert yaml.safe_load((finished[1] / "study.yaml").read_text()) == yaml.safe_load(finished[0].read_text())
