"""Truths that cross_entropy, kd and cwd must keep in the limit, without any reference numbers."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.upsampled_cross_entropy import upsampled_cross_entropy
from foglight.losses.base import PixelLoss
from foglight.losses.logits.cwd import CWD
from foglight.losses.logits.kd import KD
from foglight.losses.task.cross_entropy import CrossEntropy
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

CLASSES = 5
INFO = ModelInfo(CLASSES, 8, {"head": TapInfo(6, 8)}, align_corners=True)
WIDE = ModelInfo(CLASSES, 8, {"head": TapInfo(9, 8)}, align_corners=False)


def logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(*shape: int, classes: int = CLASSES, ignored: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(classes, shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < ignored, 255, label)


def batch(label: Tensor | None, images: int = 2) -> Batch:
    size = (16, 24) if label is None or label.ndim == 1 else tuple(label.shape[1:])
    return Batch(torch.zeros(images, 3, *size), label=label, labelled=torch.ones(images, dtype=torch.bool))


def everything() -> list[PixelLoss]:
    return [
        CrossEntropy(INFO),
        CrossEntropy(INFO, class_weights=[1.0, 2.0, 3.0, 0.0, 1.0], label_smoothing=0.1),
        KD(INFO, INFO, temperature=2.0, mask_ignored=True),
        KD(INFO, INFO, proper=True, grid="label", mask_ignored=True),
        CWD(INFO, INFO, mask_ignored=True),
        CWD(INFO, INFO, norm="channel_mean", divergence="mse", mask_ignored=True),
    ]


def total(loss: PixelLoss, student: Tensor, teacher: Tensor, given: Batch) -> Tensor:
    return torch.stack(list(loss(ModelOutput(student), ModelOutput(teacher), given).values())).sum()


@pytest.mark.parametrize("loss", [KD(INFO, INFO, temperature=3.0), KD(INFO, INFO, proper=True), CWD(INFO, INFO)])
def test_identical_outputs_give_exactly_zero(loss: PixelLoss) -> None:
    same = logits(2, CLASSES, 4, 6)
    student = same.clone().requires_grad_()
    value = total(loss, student, same, batch(None))
    value.backward()
    assert value == 0
    torch.testing.assert_close(student.grad, torch.zeros_like(same), rtol=0, atol=1e-15)


def test_temperature_is_a_division_of_both_logits() -> None:
    student, teacher = logits(2, CLASSES, 4, 6), logits(2, CLASSES, 4, 6, seed=1)
    warm = KD(INFO, INFO, temperature=4.0, scale_gradient=False)
    torch.testing.assert_close(
        total(warm, student, teacher, batch(None)), total(KD(INFO, INFO), student / 4, teacher / 4, batch(None))
    )


def test_kd_is_torch_kl_div() -> None:
    student, teacher = logits(2, CLASSES, 4, 6), logits(2, CLASSES, 4, 6, seed=1)
    expected = F.kl_div(student.log_softmax(1), teacher.log_softmax(1), log_target=True, reduction="sum") / 48
    torch.testing.assert_close(total(KD(INFO, INFO), student, teacher, batch(None)), expected)


def test_soft_cross_entropy_has_the_gradient_of_kd() -> None:
    student, teacher = logits(2, CLASSES, 4, 6).requires_grad_(), logits(2, CLASSES, 4, 6, seed=1)
    soft = total(KD(INFO, INFO, divergence="cross_entropy"), student, teacher, batch(None))
    hard = total(KD(INFO, INFO), student, teacher, batch(None))
    torch.testing.assert_close(torch.autograd.grad(soft, student), torch.autograd.grad(hard, student))


def test_proper_makes_entries_non_negative_and_moves_nothing() -> None:
    student, teacher = logits(2, CLASSES, 4, 6), logits(2, CLASSES, 4, 6, seed=1)
    proper = KD(INFO, INFO, proper=True)
    torch.testing.assert_close(
        total(proper, student, teacher, batch(None)), total(KD(INFO, INFO), student, teacher, batch(None))
    )
    values = proper.pixel_maps(ModelOutput(student), ModelOutput(teacher), batch(None))["kd"].values
    assert values.min() >= -1e-15


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0, 0.0, 3.0]])
def test_cross_entropy_is_torch_cross_entropy(smoothing: float, weights: list[float] | None) -> None:
    student, label = logits(2, CLASSES, 16, 24), labels(2, 16, 24)
    loss = CrossEntropy(INFO, class_weights=weights, label_smoothing=smoothing)
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    expected = F.cross_entropy(student, label, weight=weight, ignore_index=255, label_smoothing=smoothing)
    torch.testing.assert_close(total(loss, student, student, batch(label)), expected)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("grid", [(4, 6), (1, 1), (16, 24), (20, 7)])
def test_upsampling_in_strips_is_upsampling(grid: tuple[int, int], align_corners: bool) -> None:
    label, weights = labels(2, 37, 24), torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0], dtype=torch.float64)
    student = logits(2, CLASSES, *grid).requires_grad_()
    whole = F.interpolate(student, (37, 24), mode="bilinear", align_corners=align_corners)
    expected = F.cross_entropy(whole, label, weight=weights, ignore_index=255)
    loss = CrossEntropy(replace(INFO, align_corners=align_corners), class_weights=weights.tolist())
    ours = total(loss, student, student, batch(label))
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, student), torch.autograd.grad(expected, student))


def test_the_gradient_in_strips_is_the_derivative() -> None:
    student = logits(1, 3, 2, 3).requires_grad_()
    label = labels(1, 19, 5, classes=3, ignored=0.0)
    assert torch.autograd.gradcheck(lambda z: upsampled_cross_entropy(z, label, align_corners=False), student)
    assert torch.autograd.gradgradcheck(lambda z: upsampled_cross_entropy(z, label, align_corners=False), student)


def test_auxiliary_heads_count_four_tenths_and_are_never_weighted() -> None:
    student, label = logits(2, CLASSES, 16, 24), labels(2, 16, 24)
    maps = CrossEntropy(INFO).pixel_maps(ModelOutput(student, auxiliary=(student,)), None, batch(label))
    torch.testing.assert_close(maps["ce_auxiliary"].reduce(), 0.4 * maps["ce"].reduce())
    assert (maps["ce"].weighted, maps["ce_auxiliary"].weighted) == (True, False)
    assert set(
        CrossEntropy(INFO, auxiliary_weight=0.0)(ModelOutput(student, auxiliary=(student,)), None, batch(label))
    ) == {"ce"}


@pytest.mark.parametrize("loss", everything(), ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("unlabelled", [False, True])
def test_all_ignored_is_zero_with_a_graph(loss: PixelLoss, unlabelled: bool) -> None:
    label = torch.full((2, 16, 24), 255)
    given = batch(label) if not unlabelled else replace(batch(None), labelled=None)
    student = logits(2, CLASSES, 4, 6).requires_grad_()
    value = total(loss, student, logits(2, CLASSES, 4, 6, seed=1), given)
    value.backward()
    assert student.grad is not None
    if not unlabelled or isinstance(loss, CrossEntropy):
        assert value == 0
        assert student.grad.abs().max() == 0


@pytest.mark.parametrize("loss", everything(), ids=lambda loss: type(loss).__name__)
def test_ignored_pixels_change_neither_value_nor_gradient(loss: PixelLoss) -> None:
    label = labels(2, 16, 24)
    ignored = (label == 255).unsqueeze(1)
    teacher = logits(2, CLASSES, 16, 24, seed=1)
    results = []
    for disturbance in (0.0, 50.0):
        student = (
            logits(2, CLASSES, 16, 24) + disturbance * ignored * logits(2, CLASSES, 16, 24, seed=2)
        ).requires_grad_()
        other = teacher + disturbance * ignored * logits(2, CLASSES, 16, 24, seed=3)
        value = total(loss, student, other, batch(label))
        value.backward()
        assert student.grad is not None
        assert (student.grad * ignored).abs().max() == 0
        results.append((value.detach(), student.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", everything(), ids=lambda loss: type(loss).__name__)
def test_a_weight_of_one_is_bit_identical(loss: PixelLoss) -> None:
    student, teacher = ModelOutput(logits(2, CLASSES, 4, 6)), ModelOutput(logits(2, CLASSES, 4, 6, seed=1))
    given = batch(labels(2, 16, 24))
    ones = loss.weighted(student, teacher, given, lambda term, pixel_map, *_: torch.ones_like(pixel_map.values))
    plain = loss(student, teacher, given)
    assert all(torch.equal(ones[term], plain[term]) for term in plain)


@pytest.mark.parametrize("loss", everything(), ids=lambda loss: type(loss).__name__)
def test_extreme_logits_stay_finite_in_float32(loss: PixelLoss) -> None:
    student = (1e4 * logits(2, CLASSES, 4, 6).sign()).float().requires_grad_()
    value = total(loss, student, -student.detach(), batch(labels(2, 16, 24)))
    value.backward()
    assert student.grad is not None
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_cwd_survives_the_gap_at_which_a_softmax_underflows() -> None:
    student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.0, 150.0]]]])
    loss = CWD(replace(INFO, num_classes=1), replace(INFO, num_classes=1), temperature=1.0)
    # The student is uniform over two positions and the teacher certain: kl = log 2.
    torch.testing.assert_close(total(loss, student, teacher, batch(None, 1)), torch.tensor(2.0).log())
    # The other way round the gap itself is the divergence, up to the log 2 of entropy.
    torch.testing.assert_close(total(loss, teacher, student, batch(None, 1)), 75.0 - torch.tensor(2.0).log())


@pytest.mark.parametrize("loss", [KD(INFO, INFO), CWD(INFO, INFO)], ids=["kd", "cwd"])
def test_half_precision_under_autocast_is_promoted_and_not_negative(loss: PixelLoss) -> None:
    student = logits(2, CLASSES, 4, 6).bfloat16()
    teacher = (student + 0.01 * logits(2, CLASSES, 4, 6, seed=1)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = total(loss, student, teacher, batch(None))
    assert value.dtype == torch.float32
    assert value >= 0


def test_classification_outputs() -> None:
    student, teacher, label = logits(4, CLASSES), logits(4, CLASSES, seed=1), torch.tensor([0, 255, 2, 4])
    torch.testing.assert_close(
        total(CrossEntropy(INFO), student, teacher, batch(label, 4)), F.cross_entropy(student, label, ignore_index=255)
    )
    masked = total(KD(INFO, INFO, mask_ignored=True), student, teacher, batch(label, 4))
    kept = label != 255
    torch.testing.assert_close(masked, total(KD(INFO, INFO), student[kept], teacher[kept], batch(None, 3)))
    assert total(CWD(INFO, INFO), student, teacher, batch(label, 4)) == 0


@pytest.mark.parametrize("loss", [KD(INFO, WIDE), KD(INFO, WIDE, grid="label"), CWD(INFO, WIDE)])
def test_the_teacher_may_have_another_grid(loss: PixelLoss) -> None:
    student = logits(2, CLASSES, 4, 6)
    coarse, fine = logits(2, CLASSES, 2, 3, seed=1), logits(2, CLASSES, 16, 24, seed=1)
    for teacher in (coarse, fine):
        assert total(loss, student, teacher, batch(labels(2, 16, 24))) > 0
    constant = torch.arange(CLASSES, dtype=torch.float64).view(1, -1, 1, 1)
    same = total(loss, constant.expand(2, -1, 4, 6), constant.expand(2, -1, 8, 8), batch(labels(2, 16, 24)))
    assert abs(same) < 1e-12


def test_one_channel_is_a_sigmoid() -> None:
    binary = replace(INFO, num_classes=1)
    student, teacher = logits(2, 1, 4, 6), logits(2, 1, 4, 6, seed=1)
    label = labels(2, 4, 6, classes=2, ignored=0.0)
    expected = F.binary_cross_entropy_with_logits(student[:, 0], label.double())
    torch.testing.assert_close(total(CrossEntropy(binary), student, teacher, batch(label)), expected)
    p, q = teacher.sigmoid(), student.sigmoid()
    divergence = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    torch.testing.assert_close(total(KD(binary, binary), student, teacher, batch(None)), divergence)


def test_unlabelled_images_teach_but_are_no_task() -> None:
    label = labels(2, 4, 6)
    given = replace(batch(label), labelled=torch.tensor([True, False]))
    student, teacher = logits(2, CLASSES, 4, 6), logits(2, CLASSES, 4, 6, seed=1)
    first = F.cross_entropy(student[:1], label[:1], ignore_index=255)
    torch.testing.assert_close(total(CrossEntropy(INFO), student, teacher, given), first)
    everywhere = replace(given, label=torch.stack([label[0], torch.full_like(label[1], 255)]))
    valid = (
        KD(INFO, INFO, mask_ignored=True).pixel_maps(ModelOutput(student), ModelOutput(teacher), everywhere)["kd"].valid
    )
    assert torch.equal(valid, torch.stack([label[0] != 255, torch.ones(4, 6, dtype=torch.bool)]))


def test_cwd_on_features_learns_its_connector_only_where_channels_differ() -> None:
    loss = CWD(INFO, WIDE, tap="head")
    feature = logits(2, 6, 4, 6).float().requires_grad_()
    student = ModelOutput(torch.zeros(2, CLASSES, 4, 6), {"head": feature})
    teacher = ModelOutput(torch.zeros(2, CLASSES, 2, 3), {"head": logits(2, 9, 2, 3, seed=1).float()})
    loss(student, teacher, batch(None))["cwd"].backward()
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(9, 6, 1, 1)]
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in loss.parameters())
    assert not list(CWD(INFO, INFO, tap="head").parameters())


@pytest.mark.parametrize(
    "build",
    [
        lambda: KD(INFO, None),
        lambda: KD(INFO, replace(INFO, num_classes=3)),
        lambda: KD(INFO, INFO, temperature=0.0),
        lambda: CWD(INFO, INFO, student_tap="head"),
        lambda: CWD(INFO, INFO, norm="none"),
        lambda: CrossEntropy(INFO, class_weights=[1.0]),
        lambda: CrossEntropy(INFO, label_smoothing=1.0),
    ],
)
def test_nonsense_is_refused_when_built(build) -> None:
    with pytest.raises(ValueError, match="expected"):
        build()
