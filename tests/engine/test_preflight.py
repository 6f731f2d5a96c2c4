"""Is a run that would distil nothing refused by name, and can each refusal be lifted?"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from foglight.config.build import build_data, build_specs, build_student, micro_batches
from foglight.config.schema import LossConfig, ModelConfig, PixelWeightConfig, RunConfig
from foglight.engine.distiller import Distiller
from foglight.engine.preflight import check_dropout, check_teacher, check_terms
from foglight.engine.zero_terms import ZeroTerms
from foglight.errors import RefusedError
from foglight.models.load import load_network
from foglight.run import run

FOTF = LossConfig(name="cross_entropy", pixel_weight=PixelWeightConfig())


def distiller_of(config: RunConfig, teacher: str | None = None) -> tuple[Distiller, torch.Tensor]:
    data = build_data(config.data, seed=0)
    student = build_student(config, num_classes=12)
    network = None if teacher is None else load_network(teacher, num_classes=12)
    distiller = Distiller(student, network, build_specs(config.losses, seed=0, train=data.train))
    return distiller, next(iter(micro_batches(data, config.data, 0, 1)))


def test_dropout_weights_on_a_network_without_dropout(config: Callable[..., RunConfig], folder: Path) -> None:
    changes = {"student": ModelConfig(name="lite_s", options={"dropout": 0.0}), "losses": (FOTF,)}
    with pytest.raises(RefusedError, match="no-dropout"):
        run(config(**changes), folder)
    check_dropout(distiller_of(config(**changes))[0], ("no-dropout",))


@pytest.mark.parametrize(("teacher", "untrained"), [(0.01, 0.05), (1 / 23, 0.0), (0.05, 0.05)])
def test_a_teacher_no_better_than_chance_or_the_untrained_student(teacher: float, untrained: float) -> None:
    with pytest.raises(RefusedError, match="weak-teacher"):
        check_teacher(teacher, untrained, 12, ())
    check_teacher(teacher, untrained, 12, ("weak-teacher",))
    check_teacher(0.3, 0.05, 12, ())


def test_a_term_without_gradient(config: Callable[..., RunConfig]) -> None:
    distiller, batch = distiller_of(config(losses=(LossConfig(name="cross_entropy"), LossConfig(name="kd"))), "lite_m")
    checks = check_terms(distiller, batch, ())
    assert {check.name for check in checks} == {"ce", "kd"}
    assert sum(check.share for check in checks) == pytest.approx(1.0)
    distiller.student.requires_grad_(False)
    with pytest.raises(RefusedError, match="no-gradient"):
        check_terms(distiller, batch, ())


def test_looking_changes_nothing(config: Callable[..., RunConfig]) -> None:
    distiller, batch = distiller_of(config())
    before = {name: values.clone() for name, values in distiller.state_dict().items()}
    stream = torch.get_rng_state()
    check_terms(distiller, batch, ())
    assert all(torch.equal(values, distiller.state_dict()[name]) for name, values in before.items())
    assert torch.equal(stream, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in distiller.parameters())


def test_a_term_that_stays_exactly_zero() -> None:
    zero, one = torch.zeros(()), torch.ones(())
    watcher = ZeroTerms(())
    watcher.observe({"kd": zero, "ce": one})
    with pytest.raises(RefusedError, match=r"kd is exactly zero.*zero-loss"):
        watcher.observe({"kd": zero, "ce": one})
    late = ZeroTerms(())
    for value in (zero, one, zero, zero):
        late.observe({"kd": value})
    lifted = ZeroTerms(("zero-loss",))
    lifted.observe({"kd": zero})
    lifted.observe({"kd": zero})


def test_what_was_found_stands_in_the_run_folder(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(), tmp_path / "teacher")
    losses = (LossConfig(name="cross_entropy"), LossConfig(name="kd"))
    teacher = ModelConfig(name=str(tmp_path / "teacher"))
    run(config(teacher=teacher, losses=losses, allow=("weak-teacher",)), tmp_path / "student")
    found = json.loads((tmp_path / "student" / "preflight.json").read_text())
    assert [term["name"] for term in found["terms"]] == ["ce", "kd"]
    assert [dropout["feeds_classifier"] for dropout in found["active_dropouts"]] == [True]
    assert found["allowed"] == ["weak-teacher"]
