"""Does a resumed run equal the uninterrupted one bit for bit, and is a paired arm really paired?"""

import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from foglight.config.load import dump_config
from foglight.config.schema import LossConfig, ModelConfig, OptimConfig, PixelWeightConfig, RunConfig
from foglight.engine.checkpoint import load_checkpoint
from foglight.engine.log import read_metrics
from foglight.errors import CheckpointError
from foglight.run import run
from tiny_runs import Stop, StopAt


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "student.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def fotf(config: Callable[..., RunConfig], tmp_path: Path) -> RunConfig:
    """KD under dropout weights, with accumulation and averaged weights."""
    teacher = config(student=ModelConfig(name="lite_s", options={"dropout": 0.0}), seed=1)
    run(teacher, tmp_path / "teacher")
    weight = PixelWeightConfig(estimator="replay")
    base = config()
    return config(
        teacher=ModelConfig(name=str(tmp_path / "teacher")),
        losses=(LossConfig(name="cross_entropy", pixel_weight=weight), LossConfig(name="kd", pixel_weight=weight)),
        optim=OptimConfig(name="adamw", lr=1e-3, accumulate=2),
        engine=base.engine.model_copy(update={"averaging": 0.9, "evaluate_every": 3}),
        allow=("weak-teacher",),
    )


def test_a_crash_in_the_middle_changes_nothing(fotf: RunConfig, tmp_path: Path) -> None:
    run(fotf, tmp_path / "whole")
    with pytest.raises(Stop):
        run(fotf, tmp_path / "broken", progress=StopAt(5))
    assert not (tmp_path / "broken" / "student.safetensors").exists()
    torch.manual_seed(123)  # whatever the new process's stream is
    run(fotf, tmp_path / "broken")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    assert read_metrics(tmp_path / "whole" / "metrics.jsonl") == read_metrics(tmp_path / "broken" / "metrics.jsonl")


def test_a_weight_of_one_reproduces_the_unweighted_run(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    plain = config()
    weight = PixelWeightConfig(kappa=0.0, estimator="replay")
    weighted = config(losses=(LossConfig(name="cross_entropy", pixel_weight=weight),))
    run(plain, tmp_path / "plain")
    run(weighted, tmp_path / "weighted")
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "weighted"))


def test_another_recipe_into_the_same_folder_is_refused(config: Callable[..., RunConfig], folder: Path) -> None:
    run(config(), folder)
    with pytest.raises(CheckpointError, match="another configuration"):
        run(config(seed=1), folder)


class DiskFullAt(StopAt):
    """From a step on, no file may grow beyond 100 kB."""

    def advance(self, done: int, figures: object) -> None:
        if done == self.step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_a_disk_full_during_a_checkpoint_leaves_a_run_that_resumes(fotf: RunConfig, tmp_path: Path) -> None:
    run(fotf, tmp_path / "whole")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(CheckpointError, match="previous one is intact"):
            run(fotf, tmp_path / "full", progress=DiskFullAt(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert load_checkpoint(tmp_path / "full" / "last.ckpt")["step"] == 2
    assert not list((tmp_path / "full").glob(".*.tmp"))
    run(fotf, tmp_path / "full")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "full"))


class InterruptAt(StopAt):
    """Ctrl-C in the middle of a step."""

    def advance(self, done: int, figures: object) -> None:
        if done == self.step:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_leaves_a_run_that_resumes(fotf: RunConfig, tmp_path: Path) -> None:
    run(fotf, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(fotf, tmp_path / "interrupted", progress=InterruptAt(3))
    assert load_checkpoint(tmp_path / "interrupted" / "last.ckpt")["step"] == 3
    run(fotf, tmp_path / "interrupted")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "interrupted"))


@pytest.mark.slow
def test_killed_at_random_points(fotf: RunConfig, tmp_path: Path) -> None:
    """SIGKILL, again and again, until the run is through."""
    fotf = fotf.model_copy(update={"budget": fotf.budget.model_copy(update={"steps": 40})})
    run(fotf, tmp_path / "whole")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(dump_config(fotf))
    command = [
        sys.executable,
        "-m",
        "foglight",
        "distill",
        str(recipe),
        "--output",
        str(tmp_path / "killed"),
        "--quiet",
    ]
    generator = random.Random(0)
    for _ in range(12):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        checkpoint = tmp_path / "killed" / "last.ckpt"
        before = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
        while process.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime > before):
            time.sleep(0.02)
        time.sleep(generator.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "killed" / "result.json").exists():
            break
    subprocess.run(command, check=True, capture_output=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
