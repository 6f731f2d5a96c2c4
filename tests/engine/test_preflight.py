"""Is a run that would distil nothing refused by name, and can each refusal be lifted?"""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from foglight.config.build import Data, build_data, build_specs, build_student, micro_batches
from foglight.config.schema import (
    BudgetConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    PixelWeightConfig,
    RunConfig,
    Schedule,
)
from foglight.engine import preflight_cost
from foglight.engine.checkpoint import network_hash
from foglight.engine.distiller import Distiller
from foglight.engine.log import read_metrics
from foglight.engine.preflight import check_class_order, check_dropout, check_teacher, check_terms
from foglight.engine.preflight_cost import PeakMemory
from foglight.engine.preflight_record import Preflight
from foglight.engine.processes import Processes
from foglight.engine.zero_terms import ZeroTerms
from foglight.errors import RefusedError
from foglight.losses.weighting.weighted import PixelWeighted
from foglight.models.load import load_network
from foglight.preflight_run import cache_bytes, preflight
from foglight.preflight_words import in_short
from foglight.preparation import Prepared, in_full, prepare
from foglight.run import run
from foglight.types import Batch
from tiny_runs import tiny_config

FOTF = LossConfig(name="cross_entropy", pixel_weight=PixelWeightConfig())


# A counter, queues, a discriminator and modules that a stage on the teacher trains: everything that could be changed.
STATEFUL = (FOTF, *(LossConfig(name=name) for name in ("cirkd_memory", "skd_holistic", "attnfd")))


@pytest.fixture(scope="module")
def data() -> Data:
    """Read once: every recipe here has the same frames."""
    return build_data(tiny_config().data, seed=0)


Look = Callable[..., Preflight]


@pytest.fixture
def look(data: Data) -> Look:
    def seen(config: RunConfig, teacher: str | None = "lite_m") -> Preflight:
        return preflight(prepared(config.model_copy(update={"allow": ("weak-teacher",)}), data, teacher))

    return seen


def prepared(config: RunConfig, data: Data, teacher: str | None = "lite_m") -> Prepared:
    network = None if teacher is None else load_network(teacher, num_classes=12)
    return prepare(in_full(config), Processes(), teacher=network, data=data)


def distiller_of(config: RunConfig, data: Data, teacher: str | None = None) -> tuple[Distiller, Batch]:
    student = build_student(config, num_classes=12)
    network = None if teacher is None else load_network(teacher, num_classes=12)
    distiller = Distiller(student, network, build_specs(config.losses, seed=0, train=data.train))
    return distiller, next(iter(micro_batches(data, config.data, 0, 1)))


def test_dropout_weights_on_a_network_without_dropout(
    config: Callable[..., RunConfig], data: Data, folder: Path
) -> None:
    changes = {"student": ModelConfig(name="lite_s", options={"dropout": 0.0}), "losses": (FOTF,)}
    with pytest.raises(RefusedError, match="no-dropout"):
        run(config(**changes), folder, data=data)
    check_dropout(distiller_of(config(**changes), data)[0], ("no-dropout",))


@pytest.mark.parametrize(("teacher", "untrained"), [(0.01, 0.05), (1 / 23, 0.0), (0.05, 0.05)])
def test_a_teacher_no_better_than_chance_or_the_untrained_student(teacher: float, untrained: float) -> None:
    with pytest.raises(RefusedError, match="weak-teacher"):
        check_teacher(teacher, untrained, 12, ())
    check_teacher(teacher, untrained, 12, ("weak-teacher",))
    check_teacher(0.3, 0.05, 12, ())


def test_a_term_without_gradient(config: Callable[..., RunConfig], data: Data) -> None:
    distiller, batch = distiller_of(
        config(losses=(LossConfig(name="cross_entropy"), LossConfig(name="kd"))), data, "lite_m"
    )
    checks = check_terms(distiller, batch, ())
    assert {check.name for check in checks} == {"ce", "kd"}
    assert sum(check.share for check in checks) == pytest.approx(1.0)
    distiller.student.requires_grad_(False)
    with pytest.raises(RefusedError, match="no-gradient"):
        check_terms(distiller, batch, ())


def test_looking_changes_nothing(config: Callable[..., RunConfig], data: Data) -> None:
    """Networks, losses with their queues and counters, modes, gradients and the random stream."""
    run_of = prepared(config(losses=STATEFUL, allow=("weak-teacher",)), data)
    distiller = run_of.distiller
    assert run_of.teacher is not None
    weighted = next(loss for loss in distiller.terms.modules() if isinstance(loss, PixelWeighted))
    before = copy.deepcopy(distiller.state_dict())
    teacher, stream = network_hash(run_of.teacher), torch.get_rng_state()
    modes = [module.training for module in distiller.modules()]
    counters = {name: copy.copy(value) for name, value in vars(weighted).items() if not name.startswith("_modules")}
    preflight(run_of)
    assert before.keys() == distiller.state_dict().keys()
    assert all(torch.equal(values, distiller.state_dict()[name]) for name, values in before.items())
    assert network_hash(run_of.teacher) == teacher
    assert torch.equal(stream, torch.get_rng_state())
    assert modes == [module.training for module in distiller.modules()]
    assert counters["_forwards"] == vars(weighted)["_forwards"] == 0
    assert all(parameter.grad is None for parameter in distiller.parameters())


def test_a_run_with_and_without_a_preflight_gives_the_same_student(
    config: Callable[..., RunConfig], data: Data, tmp_path: Path
) -> None:
    losses = (FOTF, LossConfig(name="kd"), LossConfig(name="cirkd_memory"))
    teacher = load_network("lite_s", num_classes=12)
    for name, wanted in (("with", True), ("without", False)):
        recipe = config(losses=losses, allow=("weak-teacher",), preflight=wanted)
        run(recipe, tmp_path / name, teacher=teacher, data=data)
    one, other = (load_file(tmp_path / name / "student.safetensors") for name in ("with", "without"))
    assert all(torch.equal(values, other[name]) for name, values in one.items())
    log, other_log = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("with", "without"))
    assert log == other_log
    assert not (tmp_path / "without" / "preflight.json").exists()


def test_taps_and_what_a_loss_inserted(config: Callable[..., RunConfig], look: Look) -> None:
    """On crops of 32x32, a feature of stride 4 has 8x8 positions; `lite_s` has 32 channels where `lite_m` has 64."""
    losses = (LossConfig(name="cross_entropy"), LossConfig(name="fitnet"))
    found = look(config(losses=losses))
    assert {(row.loss, row.side) for row in found.taps} == {("fitnet", "student"), ("fitnet", "teacher")}
    student, teacher = (next(row for row in found.taps if row.side == side) for side in ("student", "teacher"))
    for row in (student, teacher):
        assert row.height is not None
        assert row.height * row.stride == 32
        assert row.height == row.width
    regressor = next(row for row in found.connectors if row.kind == "Conv2d")
    assert regressor.shape[:2] == (teacher.channels, student.channels)
    assert regressor.parameters >= math.prod(regressor.shape)


def test_terms_are_shown_with_their_weights(config: Callable[..., RunConfig], look: Look) -> None:
    """A warm-up weighs nothing at the first step; its term is looked at all the same, with its full weight."""
    warm_up = Schedule(kind="warm-up", value=10.0, end=0.5)
    losses = (LossConfig(name="cross_entropy"), LossConfig(name="kd", weight=warm_up))
    ce, kd = look(config(losses=losses)).terms
    assert (ce.weight, kd.weight) == (1.0, 10.0)
    assert (ce.loss, kd.loss) == ("cross_entropy", "kd")
    assert ce.share + kd.share == pytest.approx(1.0)
    assert kd.weighted_share == pytest.approx(10 * kd.gradient_norm / (10 * kd.gradient_norm + ce.gradient_norm))


def test_time_to_the_end_is_of_the_whole_budget(config: Callable[..., RunConfig], look: Look) -> None:
    budget = BudgetConfig(samples=4000)
    cost = look(config(budget=budget, optim=OptimConfig(accumulate=2)), teacher=None).cost
    assert cost.steps == 1000  # two micro-batches of two images each
    assert cost.eta_seconds == pytest.approx(1000 * cost.wall_seconds_per_step)
    assert cost.teacher_share is None
    in_seconds = look(config(budget=BudgetConfig(seconds=100.0)), teacher=None).cost
    assert in_seconds.steps == int(100.0 / in_seconds.seconds_per_step)


def test_a_rate_that_would_blow_up_is_not_learned_with(config: Callable[..., RunConfig], look: Look) -> None:
    """A recipe may rely on its warm-up; measuring its steps must not diverge."""
    assert look(config(optim=OptimConfig(lr=1e30)), teacher=None).cost.steps == 6


def test_peak_memory_sees_what_was_held_in_between() -> None:
    before, _ = PeakMemory(torch.device("cpu")).read()
    watch = PeakMemory(torch.device("cpu"))
    held = torch.ones(50_000_000)
    del held
    assert watch.read()[0] > before + 150e6
    if watch.anew:
        assert PeakMemory(torch.device("cpu")).read()[0] < before + 100e6


def test_the_memory_of_a_step_is_seen_where_one_is_all(
    config: Callable[..., RunConfig], look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow step is not repeated."""
    monkeypatch.setattr(preflight_cost, "SLOW_STEP_SECONDS", 0.0)
    timed, steps = preflight_cost._timed, list[int]()

    def heavy(step: Callable[[], object], device: torch.device) -> tuple[float, float]:
        steps.append(torch.ones(75_000_000).ndim)
        return timed(step, device)

    monkeypatch.setattr(preflight_cost, "_timed", heavy)
    before, _ = PeakMemory(torch.device("cpu")).read()
    assert look(config(), teacher=None).cost.peak_memory_bytes > before + 200e6
    assert len(steps) == 1


def test_decoded_frames_are_counted_once(config: Callable[..., RunConfig], data: Data) -> None:
    """Image and label are four bytes a pixel; labelled and unlabelled frames of one cache share it."""
    frames = sum(len(part) for part in (data.train, data.tune, data.report))
    assert cache_bytes(data) == frames * 32 * 64 * 4
    recipe: DataConfig = config().data
    shared = build_data(recipe.model_copy(update={"labelled_share": 0.5}), seed=0)
    assert shared.stream.unlabelled is not None
    assert cache_bytes(shared) == cache_bytes(data)
    assert cache_bytes(build_data(recipe.model_copy(update={"cache": "none"}), seed=0)) == 0


def test_a_teacher_with_its_classes_in_another_order() -> None:
    with pytest.raises(RefusedError, match=r"class 1 is 'sky', that of the data is 'car'.*class-order"):
        check_class_order(("road", "sky", "car"), ("road", "car", "sky"), "t", ())
    check_class_order(("road", "sky", "car"), ("road", "car", "sky"), "t", ("class-order",))
    check_class_order(("road", "sky"), ("road", "sky"), "t", ())
    check_class_order((), ("road", "sky"), "t", ())


def test_a_network_that_normalises_otherwise_is_told(config: Callable[..., RunConfig], look: Look) -> None:
    found = look(config(student=ModelConfig(name="lite_s", normalisation="none"), losses=(LossConfig(name="kd"),)))
    assert found.teacher is not None
    assert (found.student.normalisation, found.teacher.normalisation) != (None, None)
    assert found.student.normalisation != found.teacher.normalisation
    assert any("normalise differently" in note for note in found.notes)
    assert not any("normalise differently" in note for note in look(config(losses=(LossConfig(name="kd"),))).notes)


def test_every_record_is_json(config: Callable[..., RunConfig], look: Look) -> None:
    """A number that is not finite is no JSON; it becomes null."""
    found = look(config(losses=(FOTF,)), teacher=None)
    assert any(line.startswith("dropout") for line in in_short(found))
    odd = replace(found, terms=(replace(found.terms[0], gradient_norm=math.nan),))
    content = json.loads(json.dumps(odd.to_dict(), allow_nan=False))
    assert content["terms"][0]["gradient_norm"] is None
    assert content["teacher"] is None


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


def test_what_was_found_stands_in_the_run_folder(config: Callable[..., RunConfig], data: Data, tmp_path: Path) -> None:
    run(config(), tmp_path / "teacher", data=data)
    losses = (LossConfig(name="cross_entropy"), LossConfig(name="kd"))
    teacher = ModelConfig(name=str(tmp_path / "teacher"))
    run(config(teacher=teacher, losses=losses, allow=("weak-teacher",)), tmp_path / "student", data=data)
    found = json.loads((tmp_path / "student" / "preflight.json").read_text())
    assert [term["name"] for term in found["terms"]] == ["ce", "kd"]
    assert [dropout["feeds_classifier"] for dropout in found["active_dropouts"]] == [True]
    assert found["teacher"]["weights_source"].startswith(f"{tmp_path / 'teacher'} (sha256 ")
    assert "every one of them fits" in found["teacher"]["weights_source"]
    assert found["cost"]["steps"] == 6
    assert found["cost"]["peak_memory_bytes"] > found["cost"]["cache_bytes"] > 0
    assert found["allowed"] == ["weak-teacher"]
