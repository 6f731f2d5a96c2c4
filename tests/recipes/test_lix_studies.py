"""Do LIX's recipes pair a teacher that sees depth with a student that does not, and are its studies what they say?"""

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from foglight.config.build import build_model, build_part, build_specs
from foglight.config.load import load_recipe
from foglight.config.schema import LossConfig, ModelConfig
from foglight.engine.terms import Terms
from foglight.models.network import Network
from foglight.study.load import Planned, load_study
from foglight.types import ModelInfo

FOLDER = Path(__file__).parents[2] / "results" / "lix"
STUDIES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
PAIRS = ("sne_roadseg", "mfnet")


@cache
def planned(name: str) -> Planned:
    return load_study(FOLDER / f"{name}.yaml")


@cache
def network(name: str) -> Network:
    return build_model(ModelConfig(name=name), num_classes=12)


@cache
def info(name: str) -> ModelInfo:
    return network(name).info()


def options(name: str, arm: str, loss: str) -> dict[str, object]:
    (found,) = (given.options for given in planned(name).arms[arm].losses if given.name == loss)
    return found


@pytest.mark.parametrize("pair", PAIRS)
def test_the_teacher_reads_the_depth_that_the_data_has_and_the_student_none(pair: str) -> None:
    teacher, student = (load_recipe(f"fogtown_lix_{pair}_{role}") for role in ("teacher", "student"))
    assert teacher.data == student.data
    assert build_part(teacher.data, "tune").info.extra_kinds == ("inverse_depth",)
    assert network(teacher.student.name).extra_channels == 1
    assert network(student.student.name).extra_channels == 0


@pytest.mark.parametrize(("pair", "stages"), [("sne_roadseg", 5), ("mfnet", 4)])
@pytest.mark.parametrize("method", ["arfd", "lix"])
def test_every_stage_of_the_encoder_is_a_tap(pair: str, stages: int, method: str) -> None:
    taps = options(f"main_{pair}", method, "arfd")["tap"]
    assert isinstance(taps, list)
    student = info(f"{pair}_lite_rgb")
    assert len({(student.tap(tap).channels, student.tap(tap).stride) for tap in taps}) == stages
    # As many as the network names by itself: one a stride.
    assert len({tap.stride for name, tap in student.taps.items() if name.startswith("stage")}) == stages


@pytest.mark.parametrize("name", STUDIES)
def test_no_two_arms_are_the_same_run(name: str) -> None:
    arms = planned(name).study.arms
    runs = [(config.losses, config.teacher, arms[arm].match_time_of) for arm, config in planned(name).arms.items()]
    assert not [pair for pair in itertools.combinations(runs, 2) if pair[0] == pair[1]]


@pytest.mark.parametrize("name", STUDIES)
def test_every_arm_can_be_built_on_its_networks(name: str) -> None:
    study = planned(name)
    for config in study.arms.values():
        assert config.teacher is not None
        teacher = info(study.teachers[config.teacher.name].student.name)
        built = Terms(info(config.student.name), teacher, build_specs(config.losses, seed=0, train=None))
        assert len(built.built) == len(config.losses)


def weighted(losses: tuple[LossConfig, ...]) -> Iterator[tuple[str, float, float]]:
    for loss in losses:
        if loss.pixel_weight is not None:
            yield loss.pixel_weight.granularity, loss.pixel_weight.kappa, loss.pixel_weight.m


@pytest.mark.parametrize("pair", PAIRS)
def test_fotf_is_per_pixel_and_its_kappa_and_m_are_those_of_the_arms_name(pair: str) -> None:
    for name, config in planned(f"fotf_{pair}").arms.items():
        _, _, numbers = name.partition("-")
        kappa, _, m = numbers.partition("-")
        assert set(weighted(config.losses)) == ({("pixel", float(kappa), float(m))} if numbers else set())
    for name in ("kd-fotf", "lix-fotf"):
        assert set(weighted(planned(f"main_{pair}").arms[name].losses)) == {("pixel", 5.0, 1.0)}


def test_the_ablations_hold_every_cell_of_their_tables() -> None:
    table = {
        (o["kernel"], o["consistency"]) for arm in planned("kernels").arms if (o := options("kernels", arm, "arfd"))
    }
    assert table == set(
        itertools.product(("paper", "gaussian", "linear", "none"), ("cosine", "euclidean", "pearson", "cka"))
    )
    omega = {
        (o["preset"], o["omega_from"], o["omega"])
        for arm in planned("omega").arms
        if (o := options("omega", arm, "dwld"))
    }
    assert omega == set(
        itertools.product(("robust", "literal"), ("student", "teacher"), ("probability", "entropy", "both"))
    )
    layers = {
        (o["depth"], o.get("dropout", 0)) for arm in planned("layers").arms if (o := options("layers", arm, "dwld"))
    }
    assert layers == {(1, 0), *itertools.product((2, 3, 4, 5), (0, 0.5))}
    fixed = [options("beta", arm, "dwld").get("beta") for arm in planned("beta").arms]
    assert fixed == [*map(float, range(1, 11)), None, None]
