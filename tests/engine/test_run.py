"""Do the switches of a run do what they say, from the command line's configuration and from Python?"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import foglight as fl
from foglight.config.schema import BudgetConfig, LossConfig, ModelConfig, OptimConfig, RunConfig
from foglight.engine.checkpoint import network_hash
from foglight.engine.fast import fold_batch_norms
from foglight.engine.log import read_metrics
from foglight.errors import ConfigurationError
from foglight.models.load import load_network
from foglight.run import run


class Hand(nn.Module):
    """A student as anybody writes one."""

    def __init__(self, num_classes: int = 12) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1))
        self.classifier = nn.Conv2d(8, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(self.body(image))


def figures(folder: Path, kind: str = "train") -> list[dict[str, float]]:
    return [record for record in read_metrics(folder / "metrics.jsonl") if record["kind"] == kind]


def with_engine(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"engine": config.engine.model_copy(update=changes)})


def test_a_student_file_stands_alone(config: Callable[..., RunConfig], folder: Path) -> None:
    result = run(config(), folder)
    for left in ("config.yaml", "run.json", "metrics.jsonl", "last.ckpt"):
        (folder / left).unlink()
    student = fl.load_student(folder)
    image = torch.rand(1, 3, 32, 64)
    assert torch.equal(student(image).logits, result.student(image).logits)
    described = json.loads((folder / "student.json").read_text())
    assert described["weights"] == "from scratch"
    assert len(described["class_names"]) == 12


def test_the_teacher_is_bitwise_untouched_and_named_by_hash(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(), tmp_path / "teacher")
    teacher = load_network(str(tmp_path / "teacher"))
    before = network_hash(teacher)
    losses = (LossConfig(name="cross_entropy"), LossConfig(name="kd"))
    named = ModelConfig(name=str(tmp_path / "teacher"))
    result = run(config(teacher=named, losses=losses, allow=("weak-teacher",)), tmp_path / "student", teacher=teacher)
    assert network_hash(teacher) == before
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert result.teacher_scores is not None
    size = (tmp_path / "student" / "last.ckpt").stat().st_size
    parameters = sum(parameter.numel() for parameter in result.student.parameters())
    assert size < 4 * 4 * parameters + 200_000  # weights and two moments, but no teacher


def test_fast_changes_the_precision_and_not_the_outcome_much(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(), tmp_path / "teacher")
    losses = (LossConfig(name="cross_entropy"), LossConfig(name="kd"))
    named = ModelConfig(name=str(tmp_path / "teacher"))
    plain = config(teacher=named, losses=losses, allow=("weak-teacher",))
    run(plain, tmp_path / "plain")
    run(with_engine(plain, fast=True), tmp_path / "fast")
    slow, quick = figures(tmp_path / "plain"), figures(tmp_path / "fast")
    for term in ("ce", "kd"):
        assert quick[0][term] == pytest.approx(slow[0][term], rel=0.05)
        assert quick[0][term] != slow[0][term]


@torch.no_grad()
def test_folding_changes_nothing_but_the_number_of_layers() -> None:
    torch.manual_seed(0)
    network = load_network("pspnet_r18", num_classes=3)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    network.eval()
    image = torch.rand(1, 3, 33, 41)
    before = network(image).logits
    assert fold_batch_norms(network.module) > 0
    torch.testing.assert_close(network(image).logits, before, rtol=1e-3, atol=1e-4)


def test_early_stopping_keeps_the_best_on_tune(config: Callable[..., RunConfig], folder: Path) -> None:
    # A learning rate that ruins the network after it has learned something.
    ruin = OptimConfig(name="sgd", lr=3.0)
    changed = config(optim=ruin, budget=BudgetConfig(steps=40))
    result = run(with_engine(changed, evaluate_every=1, patience=3), folder)
    tuned = figures(folder, "tune")
    best = max(range(len(tuned)), key=lambda index: tuned[index]["miou"])
    assert result.steps == best + 1 + 3 < 40
    assert (folder / "best.ckpt").exists()
    kept = torch.load(folder / "best.ckpt", weights_only=True)
    assert kept["step"] == best + 1
    assert all(torch.equal(kept["student"][name], values) for name, values in result.student.state_dict().items())


def test_seconds_become_steps_once(config: Callable[..., RunConfig], folder: Path) -> None:
    result = run(config(budget=BudgetConfig(seconds=1.0)), folder)
    measured = json.loads((folder / "run.json").read_text())
    assert result.steps == measured["steps"] == max(int(1.0 / measured["seconds_per_step"]), 1)
    assert f"steps: {result.steps}" in (folder / "config.yaml").read_text()
    again = run(config(budget=BudgetConfig(seconds=1.0)), folder)
    assert again.steps == result.steps


def test_unlabelled_images_reach_the_teachers_terms_only(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(), tmp_path / "teacher")
    (tmp_path / "bare").mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 255, (32, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "bare" / f"{index}.png")
    losses = (LossConfig(name="cross_entropy"), LossConfig(name="kd"))
    named = ModelConfig(name=str(tmp_path / "teacher"))
    base = config(teacher=named, losses=losses, allow=("weak-teacher", "zero-loss"))
    data = base.data.model_copy(update={"unlabeled": str(tmp_path / "bare"), "unlabeled_fraction": 1.0})
    run(base.model_copy(update={"data": data, "preflight": False}), tmp_path / "student")
    for record in figures(tmp_path / "student"):
        assert record["ce"] == 0.0
        assert record["kd"] > 0.0


def test_hand_written_modules_distil_from_python(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = config(allow=("weak-teacher",))
    result = fl.distill(
        teacher=load_network("lite_s", num_classes=12),
        student=Hand(),
        data=recipe.data,
        method="fotf",
        budget="4 steps",
        output=tmp_path / "run",
        recipe=recipe,
    )
    assert result.steps == 4
    assert {"ce", "kd"} <= figures(tmp_path / "run")[0].keys()
    assert any(name.endswith(".w_mean") for name in figures(tmp_path / "run")[0])
    loaded = fl.load_student(tmp_path / "run", module=Hand())
    report = fl.evaluate(loaded, data=recipe.data)
    assert report.scores["miou"] == pytest.approx(result.scores["miou"])


def test_a_student_by_module_path(config: Callable[..., RunConfig], folder: Path) -> None:
    named = ModelConfig(name=f"module:{__name__}:Hand", options={})
    run(config(student=named), folder)
    assert fl.load_student(folder).num_classes == 12


def test_another_number_of_classes_is_refused(config: Callable[..., RunConfig], folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="3 classes, the data has 12"):
        run(config(), folder, student=load_network("lite_s", num_classes=3))
    assert not folder.exists()


def test_averaged_weights_are_kept(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    plain = run(config(), tmp_path / "plain").student.state_dict()
    averaged = run(with_engine(config(), averaging=0.9), tmp_path / "averaged").student.state_dict()
    assert any(not torch.equal(plain[name], averaged[name]) for name in plain)
    last = torch.load(tmp_path / "averaged" / "last.ckpt", weights_only=True)
    assert all(torch.equal(last["student"][name], plain[name]) for name in plain)
    assert all(torch.equal(last["averaged"][name], averaged[name]) for name in averaged)
