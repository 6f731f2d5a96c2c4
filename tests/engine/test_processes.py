"""Do two processes train the student that one process with the same images trains?"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from foglight.config.load import dump_config
from foglight.config.presets import expand
from foglight.config.schema import LossConfig, ModelConfig, RunConfig
from foglight.engine.log import read_metrics
from foglight.engine.processes import Processes, joined
from foglight.errors import ConfigurationError
from foglight.run import run
from tiny_runs import Stop, StopAt

# Batch norm would see half a batch in each process, and dropout draws other masks: neither stands in this student.
STUDENT = """
from torch import nn


def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(),
        nn.Conv2d(16, num_classes, 1),
    )
"""


@pytest.fixture
def recipe(config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Cross-entropy with class weights, KD and CWD, scored every third step, over frames with ignored pixels."""
    (tmp_path / "own_student.py").write_text(STUDENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    run(config(seed=1), tmp_path / "teacher")
    base = config()
    return base.model_copy(
        update={
            "student": ModelConfig(name="module:own_student:build"),
            "teacher": ModelConfig(name=str(tmp_path / "teacher")),
            "data": base.data.model_copy(update={"batch_size": 4}),
            "losses": (
                LossConfig(name="cross_entropy", options={"class_weights": "inverse-sqrt"}),
                LossConfig(name="kd", options={"mask_ignored": True}),
                LossConfig(name="cwd"),
            ),
            "engine": base.engine.model_copy(update={"evaluate_every": 3}),
            "allow": ("weak-teacher",),
        }
    )


def in_two_processes(recipe: RunConfig, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command line, which starts the second process itself."""
    path = folder.parent / "recipe.yaml"
    path.write_text(dump_config(recipe))
    environment = {**os.environ, "PYTHONPATH": f"{folder.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "foglight", "distill", str(path), "-o", str(folder), "--devices", "2", "--json"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def assert_same_student(one: Path, other: Path) -> None:
    expected, found = (load_file(folder / "student.safetensors") for folder in (one, other))
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_same_curve_and_the_same_scores(recipe: RunConfig, tmp_path: Path) -> None:
    run(recipe, tmp_path / "one")
    ended = in_two_processes(recipe, tmp_path / "two")
    assert ended.returncode == 0, ended.stderr
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert [(each["step"], each["kind"]) for each in two] == [(each["step"], each["kind"]) for each in one]
    for expected, found in zip(one, two, strict=True):
        if expected["kind"] == "train":
            assert found["total"] == pytest.approx(expected["total"], rel=1e-4), expected["step"]
        if expected["kind"] == "tune":
            assert found["nll"] == pytest.approx(expected["nll"], rel=1e-4)
    assert_same_student(tmp_path / "one", tmp_path / "two")
    expected, found = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two"))
    assert found["student"]["images"] == expected["student"]["images"], "a frame was scored twice or not at all"
    assert found["student"]["nll"] == pytest.approx(expected["student"]["nll"], rel=1e-4)
    assert json.loads(ended.stdout)["scores"] == found["student"], "one process speaks, the other is silent"


@pytest.mark.slow
def test_resumed_in_two_processes(recipe: RunConfig, tmp_path: Path) -> None:
    run(recipe, tmp_path / "whole")
    with pytest.raises(Stop):
        run(recipe, tmp_path / "resumed", progress=StopAt(5))
    ended = in_two_processes(recipe, tmp_path / "resumed")
    assert ended.returncode == 0, ended.stderr
    assert_same_student(tmp_path / "whole", tmp_path / "resumed")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["skd", "attnfd", "cirkd"])
def test_discriminators_adaptations_and_queues(method: str, recipe: RunConfig, tmp_path: Path) -> None:
    """Their parts are trained, adapted and gathered by both."""
    plain = RunConfig.model_fields["losses"].default
    changes = {"student": ModelConfig(name="lite_s"), "method": method, "losses": plain}
    ended = in_two_processes(expand(recipe.model_copy(update=changes)), tmp_path / "run")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["steps"] == recipe.budget.steps


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared(recipe: RunConfig, tmp_path: Path) -> None:
    odd = recipe.model_copy(update={"data": recipe.data.model_copy(update={"batch_size": 3})})
    ended = in_two_processes(odd, tmp_path / "run")
    assert ended.returncode != 0
    assert "must be a multiple of their number, 2" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "run").exists()


def test_torchrun_and_the_recipe_disagree(config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigurationError, match="torchrun started 4"), joined(config().engine):
        pass


def test_one_process_agrees_with_itself() -> None:
    alone = Processes()
    assert alone.leads
    assert alone.mean({"kd": 2.0}) == {"kd": 2.0}
    assert alone.any(True)
    assert not alone.any(False)
    state = {"weight": torch.ones(2)}
    assert alone.leaders(state) is state
