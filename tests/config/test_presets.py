"""Do method presets expand to the published terms and constants?"""

from typing import Any

import pytest

from foglight.config.load import build_config
from foglight.config.presets import expand, load_method, method_names, overlay_names
from foglight.config.schema import LossConfig, PixelWeightConfig, RunConfig
from foglight.errors import ConfigurationError


def losses(method: str, *, data: str = "fogtown", student: str = "lite_s") -> tuple[LossConfig, ...]:
    return build_config({"student": student, "teacher": "t", "data": data, "method": method}).losses


def pixel_weights(method: str, **where: str) -> dict[str, PixelWeightConfig | None]:
    return {loss.name: loss.pixel_weight for loss in losses(method, **where)}


def test_vanilla_distillation_is_cross_entropy_and_kd() -> None:
    assert losses("ce") == (LossConfig(name="cross_entropy"),)
    assert losses("kd") == (LossConfig(name="cross_entropy"), LossConfig(name="kd", options={"temperature": 1.0}))


def test_the_published_weights_of_cwd() -> None:
    assert losses("cwd")[1] == LossConfig(name="cwd", weight=3.0, options={"temperature": 4.0})


def test_class_weights_are_left_to_the_data() -> None:
    assert losses("ce-weighted")[0].options == {"class_weights": "inverse-sqrt"}


@pytest.mark.parametrize(
    ("method", "kl", "ce"), [("fotf", "class", "pixel"), ("fotf-reduce", "pixel", "class"), ("fog", "pixel", "pixel")]
)
def test_granularities(method: str, kl: str, ce: str) -> None:
    weights = pixel_weights(method)
    assert weights["kd"] is not None
    assert weights["cross_entropy"] is not None
    assert (weights["kd"].granularity, weights["cross_entropy"].granularity) == (kl, ce)


# FOTF, appendix A.3, typed from the paper a second time.
@pytest.mark.parametrize(
    ("data", "student", "method", "kappa", "m"),
    [
        ("cityscapes", "deeplabv3_r18", "ce+fotf", 5, 1),
        ("cityscapes", "deeplabv3_r18", "kd+fotf", 5, 1),
        ("cityscapes", "pspnet_r18", "ce+fotf", 7, 1),
        ("cityscapes", "pspnet_r18", "kd+fotf", 6, 1),
        ("cityscapes", "segformer_b0", "ce+fotf", 5, 1),
        ("camvid", "deeplabv3_r18", "ce+fotf", 3, 1),
        ("camvid", "deeplabv3_r18", "fotf", 10, 10),
        ("camvid", "deeplabv3_r18_plain", "fotf-reduce", 10, 10),
        ("camvid", "pspnet_r18", "ce+fotf", 1, 1),
        ("camvid", "pspnet_r18", "kd+fotf", 2, 1),
        ("voc", "deeplabv3_r18", "ce+fotf", 9, 1),
        ("voc", "deeplabv3_r18", "kd+fotf", 3, 1),
        ("voc", "pspnet_r18", "ce+fotf", 3, 3),
        ("voc", "pspnet_r18", "kd+fotf", 3, 1),
        # Nothing is published: another network, another data set.
        ("camvid", "deeplabv3plus_r18", "fotf", 5, 1),
        ("camvid", "lite_s", "fotf", 5, 1),
        ("fogtown", "deeplabv3_r18", "fotf", 5, 1),
        ("camvid", "deeplabv3_r18", "cwd+fotf", 5, 1),
        # foglight's own preset knows no table.
        ("camvid", "deeplabv3_r18", "fog", 10, 10),
    ],
)
def test_kappa_and_m(data: str, student: str, method: str, kappa: float, m: float) -> None:
    for weight in pixel_weights(method, data=data, student=student).values():
        assert weight is not None
        assert (weight.kappa, weight.m) == (kappa, m)


def test_fotf_runs_as_if_with_five_passes_and_fog_redistributes() -> None:
    for method in ("fotf", "fotf-reduce"):
        for weight in pixel_weights(method).values():
            assert weight is not None
            assert (weight.passes, weight.match_passes, weight.mean_one, weight.max_weight) == (5, 5, False, None)
    for weight in pixel_weights("fog").values():
        assert weight is not None
        assert (weight.estimator, weight.mean_one, weight.max_weight) == (None, True, 10.0)


def test_an_overlay_alone_lies_over_kd() -> None:
    assert losses("fotf") == losses("kd+fotf")


def test_an_overlay_keeps_the_methods_own_weights() -> None:
    plain, weighted = losses("cwd"), losses("cwd+fotf")
    assert tuple(loss.model_copy(update={"pixel_weight": None}) for loss in weighted) == plain
    # A spatial divergence stays one under class-wise weights, and under whole-image ones.
    assert pixel_weights("cwd+fotf")["cwd"].granularity == "class"  # type: ignore[union-attr]
    assert pixel_weights("cwd+fog")["cwd"].granularity == "image"  # type: ignore[union-attr]


def test_expanding_twice_changes_nothing() -> None:
    once = build_config({"student": "lite_s", "teacher": "t", "method": "fog"})
    assert expand(once) == once
    assert once.method == "fog"


@pytest.mark.parametrize("given", [["kd"], ["cross_entropy"]])
def test_a_method_and_other_losses_are_refused(given: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match="either method or losses"):
        build_config({"student": "lite_s", "method": "kd", "losses": given})


def test_a_run_without_a_method_is_left_alone() -> None:
    config = RunConfig.model_validate({"student": "lite_s", "losses": ["kd"]})
    assert expand(config) is config


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fotff", "method 'fotff' is unknown.*did you mean 'fotf'"),
        ("kd+fotff", "method 'kd\\+fotff': 'fotff' is unknown.*did you mean 'fotf'"),
        ("fog+fotf", "method 'fog\\+fotf': 'fog' is unknown"),
        ("kd+cwd", "'cwd' is unknown"),
        ("kd+", "'' is unknown"),
    ],
)
def test_an_unknown_method_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_method(name)


@pytest.mark.parametrize("name", method_names())
def test_every_constant_has_a_source(name: str) -> None:
    preset = load_method(name)
    assert preset.title
    assert preset.source
    assert preset.constants
    assert all(constant.source for constant in preset.constants)
    assert all(there.source for by_architecture in preset.data.values() for there in by_architecture.values())


def test_every_overlay_lies_over_every_method() -> None:
    for method in set(method_names()) - set(overlay_names()):
        for overlay in overlay_names():
            weights = [term.pixel_weight for term in load_method(f"{method}+{overlay}").terms]
            assert any(weights)
