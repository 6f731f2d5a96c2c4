"""Do adversaries, queues, adapted teachers, draws and learned variances go through the real engine?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from contract.toys import ToyAdaptation, ToyAdversary, ToyDraws, ToyQueue, ToyVariances
from foglight.config.schema import EngineConfig, OptimConfig
from foglight.engine.checkpoint import network_hash
from foglight.engine.distiller import Distiller
from foglight.engine.plan import Plan
from foglight.engine.progress import Silent
from foglight.engine.teacher_stage import adapt_all
from foglight.engine.terms import LossSpec
from foglight.engine.trainer import fit
from foglight.losses.base import DistillationLoss
from foglight.models.load import load_network
from foglight.types import Batch

TOYS = (ToyAdversary, ToyQueue, ToyAdaptation, ToyDraws, ToyVariances)
STEPS = 4


def batches(first: int, number: int) -> Iterator[Batch]:
    for index in range(first, first + number):
        generator = torch.Generator().manual_seed(index)
        label = torch.randint(0, 3, (2, 32, 48), generator=generator)
        yield Batch(
            torch.rand(2, 3, 32, 48, generator=generator), label=label, labelled=torch.ones(2, dtype=torch.bool)
        )


def build(*kinds: type[DistillationLoss]) -> Distiller:
    torch.manual_seed(0)
    student, teacher = (load_network(name, num_classes=3) for name in ("lite_s", "lite_m"))
    specs = [LossSpec(kind.__name__, lambda s, t, kind=kind: kind(s, t)) for kind in kinds]
    return Distiller(student, teacher, specs)


def plan(folder: Path, steps: int = STEPS) -> Plan:
    engine = EngineConfig(device="cpu", log_every=1, checkpoint_every=1, tensorboard=False)
    return Plan(folder, batches, steps, OptimConfig(name="adamw", lr=1e-2), engine, seed=0, fingerprint="test")


@pytest.mark.parametrize("kind", TOYS)
def test_own_parts_are_trained_and_the_teacher_is_not(kind: type[DistillationLoss], tmp_path: Path) -> None:
    distiller = build(kind)
    teacher = network_hash(distiller.teacher)
    adapt_all(distiller, lambda n: batches(0, n), folder=tmp_path / "run", key="k", progress=Silent())
    before = {name: values.clone() for name, values in distiller.state_dict().items()}
    fit(distiller, plan(tmp_path / "run"))
    frozen = "adapt_modules"
    own = [name for name, _ in distiller.terms.named_parameters() if frozen not in name]
    assert all(
        not torch.equal(before[f"terms.{name}"], distiller.terms.state_dict()[name])
        for name in own
        if "bias" not in name
    )
    adapted = [name for name in before if frozen in name]
    assert all(torch.equal(before[name], distiller.state_dict()[name]) for name in adapted)
    assert network_hash(distiller.teacher) == teacher
    assert not distiller.teacher.training


def test_an_adaptation_is_stored_and_shared(tmp_path: Path) -> None:
    first, second = build(ToyAdaptation), build(ToyAdaptation)
    untrained = first.terms.built[0].adapt_modules[0].weight.clone()
    adapt_all(first, lambda n: batches(0, n), folder=tmp_path / "a", key="k", progress=Silent())
    adapt_all(second, lambda n: pytest.fail("trained again"), folder=tmp_path / "b", key="k", progress=Silent())
    trained = first.terms.built[0].adapt_modules[0].weight
    assert not torch.equal(trained, untrained)
    assert torch.equal(trained, second.terms.built[0].adapt_modules[0].weight)
    assert not trained.requires_grad


def test_discriminators_queues_and_draws_resume_exactly(tmp_path: Path) -> None:
    whole, first_half, second_half = (build(ToyAdversary, ToyQueue, ToyDraws, ToyVariances) for _ in range(3))
    fit(whole, plan(tmp_path / "whole"))
    # A run of the same length that dies after two updates.
    broken = plan(tmp_path / "broken")

    def dying(first: int, number: int) -> Iterator[Batch]:
        yield from batches(first, 2)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        fit(first_half, Plan(**{**vars(broken), "batches": dying}))
    fit(second_half, broken)
    expected, got = whole.state_dict(), second_half.state_dict()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_adding_a_loss_at_weight_zero_point_nothing_leaves_the_students_dropout_alone(tmp_path: Path) -> None:
    """Law 6: arms are paired."""
    seen: list[list[torch.Tensor]] = []
    for kinds in ((ToyVariances,), (ToyVariances, ToyDraws)):
        distiller = build(*kinds)
        masks: list[torch.Tensor] = []
        dropout = next(part for part in distiller.student.modules() if isinstance(part, torch.nn.Dropout))
        dropout.register_forward_hook(lambda _, given, out, masks=masks: masks.append((out == 0) & (given[0] != 0)))
        fit(distiller, plan(tmp_path / str(len(kinds)), steps=1))
        seen.append(masks)
    assert len(seen[0]) == len(seen[1]) == 1
    assert torch.equal(seen[0][0], seen[1][0])
    assert seen[0][0].any()
