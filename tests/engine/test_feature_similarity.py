"""Does the CKA of two networks say how alike they are, and does a run write it without being changed by it?"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foglight.config.schema import ModelConfig, RunConfig
from foglight.engine.feature_similarity import GRID, feature_similarity, positions_similarity
from foglight.models.ensemble import Ensemble
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.run import run
from foglight.types import Batch

BATCH = Batch(image=torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)))


def network(seed: int, name: str = "lite_s") -> Network:
    torch.manual_seed(seed)
    return load_network(name, num_classes=3)


def test_a_network_is_like_itself_at_every_stage_and_less_like_another() -> None:
    same = feature_similarity(network(0), network(0), BATCH)
    other = feature_similarity(network(0), network(1, "lite_m"), BATCH)
    assert set(same) == set(other) == {f"cka.stage{stage}" for stage in (1, 2, 3, 4)}
    for stage, value in same.items():
        assert value == pytest.approx(1.0, abs=1e-4)
        assert other[stage] < value - 0.01


def test_independent_features_have_nothing_in_common() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(8, 32, *GRID, generator=generator), torch.randn(8, 48, *GRID, generator=generator)
    assert abs(positions_similarity(ours, theirs).item()) < 0.02


def test_a_rotation_of_the_channels_and_a_finer_grid_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 6, 4, 8, generator=generator)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    turned = torch.einsum("dc,bchw->bdhw", rotation, feature).repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert positions_similarity(feature, 5 * turned).item() == pytest.approx(1.0, abs=1e-4)


def test_too_few_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 positions"):
        positions_similarity(torch.ones(1, 2, 1, 3), torch.ones(1, 2, 1, 3))


def test_half_precision_around_it_changes_nothing() -> None:
    plain = feature_similarity(network(0), network(1), BATCH)
    with torch.autocast("cpu", torch.bfloat16):
        assert feature_similarity(network(0), network(1), BATCH) == plain


def test_an_ensemble_has_no_score() -> None:
    assert not feature_similarity(network(0), Ensemble([network(0), network(1)]), BATCH)


def test_modes_weights_and_random_numbers_are_left_alone() -> None:
    student, teacher = network(0).train(), network(1).eval()
    before = {name: values.clone() for name, values in student.state_dict().items()}
    state = torch.get_rng_state()
    feature_similarity(student, teacher, BATCH)
    assert student.training
    assert not teacher.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(values, before[name]) for name, values in student.state_dict().items())


def test_a_depth_teacher_sees_its_depth() -> None:
    teacher = network(0, "mfnet_lite")
    student = network(1, "mfnet_lite_rgb")
    batches = [replace(BATCH, extra=torch.full((4, 1, 64, 64), value) * BATCH.image[:, :1]) for value in (0.0, 1.0)]
    blind, seeing = (feature_similarity(student, teacher, batch) for batch in batches)
    assert set(blind) == {f"cka.stage{stage}" for stage in (2, 3, 4, 5)}
    assert blind != seeing


def test_a_run_writes_it_where_it_evaluates_and_has_a_teacher(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    engine = config().engine.model_copy(update={"evaluate_every": 3})
    run(config(engine=engine, preflight=False), tmp_path / "teacher")
    # Labels alone, with a teacher named only to be compared with: the baseline of the curves.
    run(
        config(engine=engine, teacher=ModelConfig(name=str(tmp_path / "teacher")), seed=1, preflight=False),
        tmp_path / "student",
    )

    def tuned(folder: str) -> list[dict[str, float]]:
        lines = (tmp_path / folder / "metrics.jsonl").read_text().splitlines()
        return [record for record in map(json.loads, lines) if record["kind"] == "tune"]

    assert [record["step"] for record in tuned("student")] == [3, 6]
    assert all(-1 <= record[f"cka.stage{stage}"] <= 1 for record in tuned("student") for stage in (1, 2, 3, 4))
    assert not any(name.startswith("cka.") for record in tuned("teacher") for name in record)
