"""Truths that kd_mse, dist and wsld keep in the limit, and what no logit loss sees."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from logit_pair import CLASSES, INFO, LABEL, SHAPE, STUDENT, TEACHER, VALID, batch, logits, value_and_gradient
from torch.nn import functional as F

from foglight.losses.base import DistillationLoss
from foglight.losses.logits.cud import CUD
from foglight.losses.logits.dist import DIST, inter_class, intra_class
from foglight.losses.logits.dkd import DKD
from foglight.losses.logits.dwld import DWLD
from foglight.losses.logits.kd import KD
from foglight.losses.logits.kd_mse import KDMSE
from foglight.losses.logits.wsld import WSLD, soft_label_weight


def test_kd_at_an_endless_temperature_is_half_the_centred_mean_square() -> None:
    hot, _ = value_and_gradient(KD(INFO, INFO, temperature=1e4))
    square, _ = value_and_gradient(KDMSE(INFO, INFO, centred=True))
    torch.testing.assert_close(hot, square / 2, rtol=1e-3, atol=0)


def test_mean_square_is_torch_mse_and_centred_does_not_see_a_shift() -> None:
    torch.testing.assert_close(value_and_gradient(KDMSE(INFO, INFO))[0], F.mse_loss(STUDENT, TEACHER))
    torch.testing.assert_close(
        value_and_gradient(KDMSE(INFO, INFO, centred=True), STUDENT + logits(2, 1, 4, 6)),
        value_and_gradient(KDMSE(INFO, INFO, centred=True)),
    )


def test_dist_sees_neither_scale_nor_offset_of_the_probabilities() -> None:
    student = STUDENT.softmax(1)
    flatter = 0.3 * student + 0.7 / CLASSES
    for part in (inter_class, intra_class):
        assert abs(part(flatter, student)) < 1e-6
        assert part(2 / CLASSES - student, student) == pytest.approx(2.0, abs=1e-6)


def test_an_even_student_is_at_distance_one_with_a_finite_gradient() -> None:
    value, gradient = value_and_gradient(DIST(INFO, INFO), torch.zeros(SHAPE, dtype=torch.float64))
    assert value == pytest.approx(2.0)
    assert gradient.isfinite().all()


def test_dist_over_valid_pixels_is_dist_of_those_pixels() -> None:
    rows = [z.movedim(1, -1)[VALID] for z in (STUDENT, TEACHER)]
    vectors = replace(INFO, stride=0)
    masked, _ = value_and_gradient(DIST(INFO, INFO, mask_ignored=True, temperature=2.0))
    chosen, _ = value_and_gradient(DIST(vectors, vectors, temperature=2.0), *rows, given=batch(None))
    torch.testing.assert_close(masked, chosen)


def test_dist_within_images_is_the_mean_over_images() -> None:
    whole = intra_class(STUDENT.softmax(1), TEACHER.softmax(1), per_image=True)
    single = [intra_class(STUDENT[i : i + 1].softmax(1), TEACHER[i : i + 1].softmax(1)) for i in range(2)]
    torch.testing.assert_close(whole, torch.stack(single).mean())


@pytest.mark.parametrize("scope", ["batch", "image"])
def test_dist_of_nothing_is_zero_with_a_graph(scope: str) -> None:
    loss = DIST(INFO, INFO, mask_ignored=True, intra_scope=scope)
    value, gradient = value_and_gradient(loss, given=batch(torch.full_like(LABEL, 255)))
    assert value == 0
    assert gradient.abs().max() == 0


def test_soft_labels_count_by_who_knows_the_label_better() -> None:
    label, even, sure = torch.tensor([0]), torch.zeros(1, 3), torch.tensor([[30.0, 0.0, 0.0]])
    assert soft_label_weight(even, even, label) == pytest.approx(1 - torch.e**-1)
    assert soft_label_weight(even, sure, label) == 1
    assert soft_label_weight(sure, even, label) == pytest.approx(0, abs=1e-6)
    assert soft_label_weight(1e4 * sure, 1e4 * sure, label) == 0


def test_wsld_by_kl_moves_the_student_alike_and_is_zero_at_the_teacher() -> None:
    soft, divergence = WSLD(INFO, INFO), WSLD(INFO, INFO, divergence="kl")
    torch.testing.assert_close(value_and_gradient(soft)[1], value_and_gradient(divergence)[1])
    assert value_and_gradient(divergence, TEACHER, TEACHER)[0].abs() < 1e-12
    assert value_and_gradient(soft, TEACHER, TEACHER)[0] > 0


@pytest.mark.parametrize(
    "loss",
    [
        DKD(INFO, INFO, temperature=2.0),
        DWLD(INFO, INFO).double(),
        WSLD(INFO, INFO, divergence="kl"),
        CUD(INFO, INFO),
        DIST(INFO, INFO),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_a_shift_of_all_logits_changes_nothing(loss: DistillationLoss) -> None:
    shift = logits(2, 1, 4, 6, seed=5)
    torch.testing.assert_close(value_and_gradient(loss, STUDENT + shift, TEACHER - shift), value_and_gradient(loss))


@pytest.mark.parametrize(
    "build",
    [
        lambda: DIST(INFO, replace(INFO, num_classes=3)),
        lambda: DIST(replace(INFO, stride=0), INFO, intra_scope="image"),
        lambda: WSLD(INFO, INFO, temperature=-1.0),
    ],
)
def test_nonsense_is_refused_when_built(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        build()
