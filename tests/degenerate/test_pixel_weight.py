"""Pixel weights in the cases where the answer is known by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from foglight.config.schema import Granularity, PixelWeightConfig
from foglight.functional.sampled_sigma import RunningSoftmaxStd, softmax_std
from foglight.losses.base import Distribution, PixelMap
from foglight.losses.logits.kd import KD
from foglight.losses.task.cross_entropy import CrossEntropy
from foglight.losses.weighting.merge import keeps_divergence, merge
from foglight.losses.weighting.pixel_weight import UncertaintyWeight
from foglight.losses.weighting.sources import build_source, sigma_request
from foglight.losses.weighting.weighted import STEPS_BEFORE_FLAT_NOTE, PixelWeighted
from foglight.types import Batch, ModelInfo, ModelOutput

INFO = ModelInfo(num_classes=3, stride=4, align_corners=True)
FOTF = PixelWeightConfig(kappa=2.0, m=3.0)


def values(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scene(settings: PixelWeightConfig = FOTF, sigma: Tensor | None = None) -> tuple[ModelOutput, ModelOutput, Batch]:
    """Two images of 8x12, logits of 2x3, one ignored label."""
    sigma = values(0, 2, 3, 2, 3).abs() / 5 if sigma is None else sigma
    student = ModelOutput(values(1, 2, 3, 2, 3).requires_grad_(), sigma={sigma_request(settings): sigma})
    label = torch.randint(3, (2, 8, 12), generator=torch.Generator().manual_seed(2))
    label[0, 0, 0] = 255
    return student, ModelOutput(values(3, 2, 3, 2, 3)), Batch(torch.zeros(2, 3, 8, 12), label=label)


def class_map(channels: int = 3, **changes: object) -> PixelMap:
    plain = PixelMap(
        torch.ones(2, channels, 2, 3), torch.ones(2, 2, 3, dtype=torch.bool), torch.ones(()), distribution="class"
    )
    return replace(plain, **changes)


def weight(settings: PixelWeightConfig, pixel_map: PixelMap, sigma: Tensor | None = None, *, step: int = 0) -> Tensor:
    student, teacher, batch = scene(settings, sigma)
    return UncertaintyWeight(settings, INFO, INFO)("kd", pixel_map, student, teacher, replace(batch, step=step))


@pytest.mark.parametrize(
    ("granularity", "constant_over", "shape"),
    [
        ("logit", (), (2, 3, 2, 3)),
        ("pixel", (1,), (2, 1, 2, 3)),
        ("class", (2, 3), (2, 3, 1, 1)),
        ("image", (1, 2, 3), (2, 1, 1, 1)),
        ("position", (0,), (1, 3, 2, 3)),
    ],
)
def test_merge_averages_what_the_granularity_does_not_name(
    granularity: Granularity, constant_over: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    sigma = values(0, 2, 3, 2, 3).abs()
    expected = sigma.mean(constant_over, keepdim=True) if constant_over else sigma
    assert merge(sigma, granularity).shape == shape
    torch.testing.assert_close(merge(sigma, granularity), expected)


def test_merge_of_a_vector_keeps_images_apart() -> None:
    sigma = torch.tensor([[0.1, 0.3], [0.0, 0.4]])
    torch.testing.assert_close(merge(sigma, "class"), sigma)
    torch.testing.assert_close(merge(sigma, "image"), torch.tensor([[0.2], [0.2]]))


def test_both_forms_follow_the_equation() -> None:
    sigma = torch.full((2, 3, 2, 3), 0.5)
    assert weight(FOTF, class_map(), sigma)[0, 0, 0, 0] == pytest.approx((1 + 3 * 0.5) ** 2)
    exponential = FOTF.model_copy(update={"form": "exp"})
    assert weight(exponential, class_map(), sigma)[0, 0, 0, 0] == pytest.approx(math.exp(2 * 3 * 0.5))


def test_mean_is_taken_before_the_weight_function() -> None:
    sigma = torch.zeros(2, 3, 2, 3)
    sigma[:, 0] = 0.3
    assert weight(FOTF, class_map(), sigma)[0, 0, 0, 0] == pytest.approx((1 + 3 * 0.1) ** 2)


def test_max_weight_caps_and_mean_one_normalises_over_valid_pixels() -> None:
    sigma = torch.zeros(2, 3, 2, 3)
    sigma[0, :, 0, 0] = 0.5
    capped = FOTF.model_copy(update={"max_weight": 4.0})
    assert weight(capped, class_map(), sigma).unique().tolist() == [1.0, 4.0]
    valid = torch.zeros(2, 2, 3, dtype=torch.bool)
    valid[0, 0] = True
    scaled = weight(capped.model_copy(update={"mean_one": True}), class_map(valid=valid), sigma)
    torch.testing.assert_close(scaled[0, 0, 0], torch.tensor([2.0, 0.5, 0.5]))
    nothing = class_map(valid=torch.zeros_like(valid))
    unscaled = weight(capped, nothing, sigma)
    assert torch.equal(weight(capped.model_copy(update={"mean_one": True}), nothing, sigma), unscaled)


def test_weight_starts_at_its_step() -> None:
    late = FOTF.model_copy(update={"start_step": 3})
    assert torch.equal(weight(late, class_map(), step=2), torch.ones(()))
    assert weight(late, class_map(), step=3).min() > 1


def test_weight_carries_no_gradient() -> None:
    student, teacher, batch = scene()
    entropy = UncertaintyWeight(PixelWeightConfig(source="entropy"), INFO, INFO)
    assert not entropy("kd", class_map(), student, teacher, batch).requires_grad


def test_class_resolved_weight_is_taken_at_the_label() -> None:
    by_class = FOTF.model_copy(update={"granularity": "class"})
    sigma = torch.tensor([0.0, 0.1, 0.2]).view(1, 3, 1, 1).expand(2, 3, 2, 3)
    label = torch.tensor([[0, 1, 2], [2, 1, 255]]).expand(2, 2, 3)
    one_channel = class_map(1, label=label, valid=label != 255, distribution="none")
    expected = (1 + 3 * torch.tensor([[0.0, 0.1, 0.2], [0.2, 0.1, 0.0]])) ** 2
    torch.testing.assert_close(weight(by_class, one_channel, sigma)[1, 0], expected)


def test_sigma_is_resized_before_the_weight_function_with_the_students_alignment() -> None:
    sigma = torch.zeros(2, 3, 2, 3)
    sigma[:, :, :, 2] = 0.4
    wide = class_map(values=torch.ones(2, 3, 2, 5), valid=torch.ones(2, 2, 5, dtype=torch.bool))
    expected = (1 + 3 * torch.tensor([0.0, 0.0, 0.0, 0.2, 0.4])) ** 2
    torch.testing.assert_close(weight(FOTF, wide, sigma)[0, 0, 0], expected)


def test_sigma_of_the_label_grid_is_taken_as_it_is() -> None:
    at_label = FOTF.model_copy(update={"grid": "label"})
    sigma = values(0, 2, 3, 8, 12).abs() / 5
    wide = class_map(values=torch.ones(2, 3, 8, 12), valid=torch.ones(2, 8, 12, dtype=torch.bool))
    assert torch.equal(weight(at_label, wide, sigma), (1 + 3.0 * sigma.mean(1, keepdim=True)) ** 2.0)


@pytest.mark.parametrize("pixel_map", [class_map(1), class_map(3, channels_are_classes=False), class_map(4)])
def test_class_resolved_weight_is_never_broadcast(pixel_map: PixelMap) -> None:
    with pytest.raises(ValueError, match="expected 3 class channels"):
        weight(FOTF.model_copy(update={"granularity": "class"}), pixel_map)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (PixelWeightConfig(source="teacher_gap"), "expected a teacher"),
        (PixelWeightConfig(source="teacher_mc"), "expected a teacher"),
        (PixelWeightConfig(source="entropy", granularity="class"), "channel per class"),
        (PixelWeightConfig(kappa=200.0, m=10.0), "expected a finite weight"),
    ],
)
def test_what_cannot_be_weighted_is_refused(settings: PixelWeightConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UncertaintyWeight(settings, INFO, None)


def test_missing_sigma_is_refused() -> None:
    student, teacher, batch = scene()
    with pytest.raises(ValueError, match="expected the student's sigma"):
        UncertaintyWeight(FOTF, INFO, INFO)("kd", class_map(), replace(student, sigma={}), teacher, batch)


@pytest.mark.parametrize("mean_one", [False, True])
@pytest.mark.parametrize("form", ["power", "exp"])
@pytest.mark.parametrize("granularity", ["logit", "pixel", "class", "image", "position"])
@pytest.mark.parametrize("kappa", [0.0, 5.0])
@pytest.mark.parametrize("loss", [KD(INFO, INFO, mask_ignored=True), CrossEntropy(INFO)], ids=["kd", "ce"])
def test_unit_weight_is_the_plain_run_bit_for_bit(
    loss: KD | CrossEntropy, kappa: float, granularity: Granularity, form: str, mean_one: bool
) -> None:
    settings = PixelWeightConfig(granularity=granularity, kappa=kappa, form=form, mean_one=mean_one)
    student, teacher, batch = scene(settings, None if kappa == 0 else torch.zeros(2, 3, 2, 3))
    plain = loss(student, teacher, batch)
    weighted = PixelWeighted(loss, settings, INFO, INFO)(student, teacher, batch)
    for term, value in plain.items():
        assert torch.equal(value, weighted[term])
        before, after = (torch.autograd.grad(x, student.logits)[0] for x in (value, weighted[term]))
        assert torch.equal(before, after)


def test_pixel_weights_keep_the_divergence_and_class_weights_do_not() -> None:
    student = ModelOutput(torch.tensor([[0.0, 0.5, 0.0]]).view(1, 3, 1, 1).requires_grad_())
    teacher = ModelOutput(torch.zeros(1, 3, 1, 1))
    batch = Batch(torch.zeros(1, 3, 4, 4))
    sigma = torch.tensor([0.0, 0.5, 0.0]).view(1, 3, 1, 1)
    terms: dict[str, float] = {}
    for granularity in ("pixel", "class"):
        settings = FOTF.model_copy(update={"granularity": granularity})
        seen = replace(student, sigma={sigma_request(settings): sigma})
        loss = PixelWeighted(KD(INFO, INFO), settings, INFO, INFO)
        terms[granularity] = loss(seen, teacher, batch)["kd"].item()
        broken = any("no longer a divergence" in note for note in loss.statistics().notes)
        assert broken == (granularity == "class")
        assert not loss.statistics().notes, "a note is said once"
    assert terms["pixel"] > 0 > terms["class"]


@pytest.mark.parametrize("source", ["entropy", "max_prob", "margin", "teacher_gap"])
def test_sources_are_zero_where_certain_and_largest_where_not(source: str) -> None:
    certain, undecided = torch.tensor([[60.0, 0.0, 0.0]]), torch.zeros(1, 3)
    teacher = ModelOutput(torch.cat([certain, certain]))
    read = build_source(PixelWeightConfig(source=source), INFO)
    found = read(ModelOutput(torch.cat([certain, undecided])), teacher, Batch(torch.zeros(2, 3, 4, 4)))
    largest = {"entropy": 1.0, "margin": 1.0, "max_prob": 2 / 3, "teacher_gap": 2 / 3}[source]
    torch.testing.assert_close(found, torch.tensor([[0.0], [largest]]))


def test_equal_passes_have_exactly_no_spread() -> None:
    passes = values(0, 1, 2, 3, 4, 4).expand(5, -1, -1, -1, -1)
    assert not softmax_std(passes).any()


@pytest.mark.parametrize("ddof", [0, 1])
def test_running_spread_is_the_spread_of_the_stack(ddof: int) -> None:
    passes = values(0, 5, 2, 3, 4)
    expected = (passes / 2).softmax(2).std(0, correction=ddof)
    torch.testing.assert_close(softmax_std(passes, ddof=ddof, temperature=2.0), expected)


def test_too_few_passes_are_refused() -> None:
    running = RunningSoftmaxStd()
    running.add(torch.zeros(1, 3))
    assert not running.std().any()
    with pytest.raises(ValueError, match="at least 2 passes"):
        running.std(ddof=1)


def test_figures_and_notes_describe_the_last_forward() -> None:
    sigma = torch.zeros(2, 3, 2, 3)
    sigma[:, 1] = 0.5
    by_class = FOTF.model_copy(update={"granularity": "class"})
    loss = PixelWeighted(KD(INFO, INFO), by_class, INFO, INFO)
    loss(*scene(by_class, sigma))
    statistics = loss.statistics()
    assert statistics.values["kd.sigma_max"] == 0.5
    assert statistics.values["kd.w_mean"] == pytest.approx((1 + 1 + 2.5**2) / 3)
    assert [statistics.values[f"kd.w_class_{k}"] for k in range(3)] == pytest.approx([1.0, 6.25, 1.0])
    assert any("fivefold" in note for note in statistics.notes)


def test_class_means_of_a_pixel_weight_go_by_the_label() -> None:
    student, teacher, batch = scene()
    label = torch.zeros(2, 8, 12, dtype=torch.long)
    label[:, :, 6:] = 2
    label[0, 4:] = 255
    sigma = torch.zeros(2, 3, 8, 12)
    sigma[:, :, :, 6:] = 0.1
    sigma[0, :, 4:] = 0.5
    at_label = FOTF.model_copy(update={"grid": "label"})
    loss = PixelWeighted(CrossEntropy(INFO), at_label, INFO, INFO)
    loss(replace(student, sigma={sigma_request(at_label): sigma}), teacher, replace(batch, label=label))
    figures = loss.statistics().values
    means = {name: value for name, value in figures.items() if name.startswith("ce.w_class")}
    assert means == pytest.approx({"ce.w_class_0": 1.0, "ce.w_class_2": 1.3**2})
    assert figures["ce.w_max"] == pytest.approx(1.3**2), "an ignored pixel was counted"


@pytest.mark.parametrize("granularity", ["logit", "pixel", "class", "image", "position"])
def test_a_divergence_is_kept_where_the_weight_is_constant_over_it(granularity: Granularity) -> None:
    def kept(distribution: Distribution, *, class_resolved: bool) -> bool:
        return keeps_divergence(distribution, granularity, class_resolved=class_resolved)

    assert kept("class", class_resolved=True) == (granularity in ("pixel", "image"))
    assert kept("space", class_resolved=True) == (granularity in ("class", "image"))
    assert kept("class", class_resolved=False)
    assert kept("none", class_resolved=True)


def test_flat_weight_is_noted_once_it_stays_flat() -> None:
    loss = PixelWeighted(KD(INFO, INFO), FOTF, INFO, INFO)
    sigma = torch.full((2, 3, 2, 3), 0.01)
    notes: list[int] = []
    for step in range(STEPS_BEFORE_FLAT_NOTE + 2):
        loss(*scene(FOTF, sigma))
        notes += [step + 1 for note in loss.statistics().notes if "only rescales" in note]
    assert notes == [STEPS_BEFORE_FLAT_NOTE]
