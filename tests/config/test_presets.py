"""Do method presets expand to the published terms and constants?"""

from typing import Any

import pytest

from foglight.config.load import build_config
from foglight.config.preset_schema import Preset
from foglight.config.presets import expand, load_method, method_names, overlay_names
from foglight.config.schema import LossConfig, PixelWeightConfig, RunConfig, Schedule
from foglight.config.tiers import preset_tier
from foglight.errors import ConfigurationError
from foglight.losses.base import PixelLoss
from foglight.losses.registry import loss_class, loss_names, loss_options


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


METHODS = sorted(set(method_names()) - set(overlay_names()))


def weights_of(loss: LossConfig) -> dict[str, float]:
    """By what a constant is named after: the loss, or its term where terms are weighed apart."""
    given = loss.weight if isinstance(loss.weight, dict) else {loss.name: loss.weight}
    return {name: weight.value if isinstance(weight, Schedule) else weight for name, weight in given.items()}


def text_of(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else value


def constants_of(preset: Preset) -> set[tuple[str, Any]]:
    return {(constant.name, constant.value) for constant in preset.constants}


@pytest.mark.parametrize("name", METHODS)
def test_every_number_of_a_preset_stands_among_its_constants(name: str) -> None:
    preset = load_method(name)
    for loss in preset.terms:
        # A task loss weighs one; everything that teaches has a weight from somewhere.
        taught = {} if preset.weighted.get(loss.name) == "task" else weights_of(loss)
        for what, weight in taught.items():
            assert (f"weight of {what}", weight) in constants_of(preset), what
        flat = {**loss.options, **loss.options.get("options", {})}
        for option, value in flat.items():
            if option in ("options", "class_weights"):
                continue
            names = {(option, text_of(value)), (f"{option} of {loss.name}", text_of(value))}
            assert names & constants_of(preset), option


@pytest.mark.parametrize("name", METHODS)
def test_a_preset_names_losses_options_and_weighted_terms_that_exist(name: str) -> None:
    preset = load_method(name)
    named = {loss.name for loss in preset.terms}
    assert set(preset.weighted) <= named
    assert all(issubclass(loss_class(loss), PixelLoss) for loss in preset.weighted)
    for loss in preset.terms:
        assert set(loss.options) <= set(loss_options(loss_class(loss.name)))
    for by_architecture in preset.data.values():
        for there in by_architecture.values():
            assert {*there.weights, *there.options} <= named
            for loss_name, options in there.options.items():
                assert set(options) <= set(loss_options(loss_class(loss_name)))


def test_every_loss_is_reached_by_a_preset_of_its_name() -> None:
    for name in set(loss_names()) - {"cross_entropy"}:
        assert name in {loss.name for loss in load_method(name).terms}


def weights(method: str, **where: str) -> dict[str, Any]:
    return {loss.name: loss.weight for loss in losses(method, **where)}


# CIRKD's training scripts and Af-DCD's, typed from the spec a second time.
def test_published_weights_of_the_segmentation_methods() -> None:
    assert weights("skd") == {"cross_entropy": 1, "kd": 1, "skd_pairwise": 10, "skd_holistic": 0.001}
    assert weights("ifvd") == {"cross_entropy": 1, "kd": 1, "ifvd": 20, "skd_holistic": 0.001}
    assert [loss.weight for loss in losses("cwd-cirkd")] == [1, 1, 50, 3, 0.001]
    cirkd = {"cross_entropy": 1, "kd": 1, "cirkd_minibatch": 1}
    assert weights("cirkd") == {**cirkd, "cirkd_memory": {"memory_pixel": 0.1, "memory_region": 0.1}}
    voc = {**cirkd, "cirkd_memory": {"memory_pixel": 0.01, "memory_region": 0.01}}
    assert weights("cirkd", data="voc", student="pspnet_r18") == voc
    assert weights("af_dcd", data="ade20k")["kd"] == 0.5
    assert weights("dsd")["dsd"] == {"dsd_pixel": 1000, "dsd_class": 10}
    assert (weights("attnfd")["attnfd"], weights("attnfd", data="cityscapes")["attnfd"]) == (1, 10)


def test_what_is_published_for_an_architecture_lies_over_what_is_published_for_any() -> None:
    def published(student: str, method: str = "af_dcd") -> LossConfig:
        return losses(method, data="cityscapes", student=student)[2]

    everywhere = {"tap": "layer4", "temperature": 0.07, "groups": 16}
    assert published("deeplabv3_r18").options == {**everywhere, "mask": "centre", "enhanced": True}
    assert published("deeplabv3_mbv2").options == published("deeplabv3plus_r18").options == everywhere
    assert published("deeplabv3_r18").weight == published("pspnet_r18").weight == {"fd": 2e-6, "ctr": 0.005}
    assert published("deeplabv3_r18", "af_dcd+fotf") == published("deeplabv3_r18")
    assert losses("af_dcd+fotf", data="cityscapes", student="deeplabv3_r18")[1].pixel_weight.kappa == 7  # type: ignore[union-attr]


def test_at_means_the_same_as_published_at_the_published_size() -> None:
    ours, published = losses("at")[2], losses("at", data="cityscapes")[2]
    assert (ours.options["form"], published.options["form"]) == ("sum_square", "mean_square")
    assert isinstance(ours.weight, float)
    assert isinstance(published.weight, float)
    assert ours.weight == pytest.approx(published.weight / (64 * 128), rel=1e-2)


def test_a_preset_is_recommended_no_further_than_its_weakest_term() -> None:
    assert preset_tier(load_method("kd")) == "recommended"
    assert preset_tier(load_method("cirkd")) == "supported"
    assert preset_tier(load_method("lix-literal")) == preset_tier(load_method("skd")) == "for comparison"
