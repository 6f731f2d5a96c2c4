"""AT, FitNet, FT and VID: what must hold in the limit, for any features."""

import pytest
import torch
from feature_pairs import TAP, batch, feature, info, said, terms, total
from torch import nn

from foglight.losses.base import DistillationLoss
from foglight.losses.features.at import AT, Form, attention_map
from foglight.losses.features.fitnet import FitNet
from foglight.losses.features.ft import FT, Distance, Factor, factor_distance
from foglight.losses.features.vid import VARIANCE_FLOOR, VID
from foglight.losses.registry import build_loss

FORMS = pytest.mark.parametrize("form", ["mean_square", "sum_square", "norm"])


def every_loss() -> list[DistillationLoss]:
    student, teacher = info(4), info(6)
    return [
        AT(student, teacher),
        AT(student, teacher, form="norm", power=1.0),
        FitNet(student, teacher, bias=True, batch_norm=True, relu=True),
        FT(student, teacher),
        FT(student, teacher, factor="map", distance="square", kernel_size=1),
        VID(student, teacher, hidden_channels=3),
    ]


@pytest.mark.parametrize("grid", [(), (1, 1), (5, 3)])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("loss", every_loss(), ids=lambda loss: type(loss).__name__)
def test_one_image_one_position_and_vectors(loss: DistillationLoss, images: int, grid: tuple[int, ...]) -> None:
    student = feature(images, 4, *grid).float().requires_grad_()
    value = total(loss, student, feature(images, 6, *grid, seed=1).float())
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@FORMS
def test_at_is_zero_for_equal_features_and_finite_there(form: Form) -> None:
    student = feature(2, 4, 5, 3).requires_grad_()
    value = total(AT(info(4), info(4), form=form), student, student.detach())
    value.backward()
    assert value == 0
    assert student.grad is not None
    assert not student.grad.any()


@FORMS
def test_at_sees_no_scale_no_sign_and_no_order_of_channels(form: Form) -> None:
    loss = AT(info(4), info(6), form=form)
    student, teacher = feature(2, 4, 5, 3), feature(2, 6, 5, 3, seed=1)
    scaled = -1e3 * student[:, [2, 0, 3, 1]]
    torch.testing.assert_close(total(loss, scaled, 1e-3 * teacher), total(loss, student, teacher))


def test_at_forms_differ_by_the_number_of_positions() -> None:
    student, teacher = feature(1, 4, 5, 3), feature(1, 6, 5, 3, seed=1)
    mean, summed, norm = (
        total(AT(info(4), info(6), form=form), student, teacher) for form in ("mean_square", "sum_square", "norm")
    )
    torch.testing.assert_close(mean * 15, summed)
    torch.testing.assert_close(norm**2, summed)
    assert summed <= 2


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_attention_is_the_mean_power_over_channels(power: float) -> None:
    values = feature(2, 4, 5, 3)
    mean = values.abs().pow(power).mean(1).flatten(1)
    expected = mean / mean.norm(dim=1, keepdim=True)
    torch.testing.assert_close(attention_map(values, power=power), expected)


@pytest.mark.parametrize(("own", "given"), [((6, 12), (3, 6)), ((3, 6), (6, 12)), ((6, 3), (3, 6))])
def test_at_and_vid_pool_each_axis_to_the_smaller_side(own: tuple[int, int], given: tuple[int, int]) -> None:
    smaller = min(own[0], given[0]), min(own[1], given[1])
    student, teacher = feature(2, 4, *own), feature(2, 4, *given, seed=1)
    pooled = [nn.functional.adaptive_avg_pool2d(values, smaller) for values in (student, teacher)]
    for loss in (AT(info(4), info(4)), VID(info(4), info(4)).double()):
        torch.testing.assert_close(total(loss, student, teacher), total(loss, *pooled))


def test_several_taps_are_summed() -> None:
    loss = AT(info(4), info(6), tap=(TAP, TAP))
    student, teacher = feature(2, 4, 5, 3), feature(2, 6, 5, 3, seed=1)
    torch.testing.assert_close(total(loss, student, teacher), 2 * total(AT(info(4), info(6)), student, teacher))


def test_fitnet_with_an_identity_regressor_is_the_mean_squared_error() -> None:
    loss = FitNet(info(4), info(4)).double()
    nn.init.dirac_(loss.regressor.convolution.weight)
    student, teacher = feature(2, 4, 5, 3), feature(2, 4, 5, 3, seed=1)
    torch.testing.assert_close(total(loss, student, teacher), nn.functional.mse_loss(student, teacher))


def test_fitnet_projects_even_where_channels_agree() -> None:
    assert [tuple(weight.shape) for weight in FitNet(info(4), info(4)).parameters()] == [(4, 4, 1, 1)]


@pytest.mark.parametrize(("resample", "grid"), [("none", (4, 6)), ("halve", (2, 3)), ("double", (8, 12))])
def test_fitnet_resamples(resample: str, grid: tuple[int, int]) -> None:
    loss = FitNet(info(4), info(6), resample=resample)
    assert loss.regressor(feature(1, 4, 4, 6).float()).shape == (1, 6, *grid)


def test_fitnet_leaves_out_ignored_positions() -> None:
    loss = FitNet(info(4), info(4), mask_ignored=True).double()
    student, teacher = feature(2, 4, 8, 8), feature(2, 4, 8, 8, seed=1)
    label = torch.zeros(2, 8, 8, dtype=torch.long)
    label[:, 4:] = 255
    masked = loss(said(student), said(teacher), batch(2, label))["fitnet"]
    upper = loss(said(student[:, :, :4]), said(teacher[:, :, :4]), batch(2))["fitnet"]
    torch.testing.assert_close(masked, upper)


@pytest.mark.parametrize("factor", ["whole", "map"])
@pytest.mark.parametrize("distance", ["absolute", "square", "norm"])
def test_factors_have_no_scale(factor: Factor, distance: Distance) -> None:
    student, teacher = feature(2, 4, 5, 3), feature(2, 4, 5, 3, seed=1)
    options = {"factor": factor, "distance": distance}
    same = factor_distance(student, 100 * student, **options)
    torch.testing.assert_close(same, torch.zeros_like(same), rtol=0.0, atol=1e-15)
    torch.testing.assert_close(
        factor_distance(3 * student, teacher, **options), factor_distance(student, teacher, **options)
    )


def test_the_paraphraser_learns_and_gets_no_gradient_from_the_student() -> None:
    torch.manual_seed(0)
    loss = FT(info(4), info(6), adapt_steps=60).double()
    teacher = said(feature(2, 6, 5, 3).relu())
    optimiser = torch.optim.AdamW(loss.adapt_modules.parameters(), lr=1e-2)
    errors: list[float] = []
    for _ in range(loss.adapt_steps):
        value = loss.adapt_loss(teacher, batch(2))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        errors.append(value.item())
    assert errors[-1] < 0.7 * errors[0]
    optimiser.zero_grad()
    terms(loss, feature(2, 4, 5, 3), teacher.features[TAP])["ft"].backward()
    assert all(parameter.grad is None for parameter in loss.adapt_modules.parameters())
    assert all(parameter.grad is not None for parameter in loss.translator.parameters())


def test_vid_with_unit_variance_is_half_a_mean_square() -> None:
    loss = VID(info(4), info(6), initial_variance=1.0).double()
    (head,) = loss.heads
    student, teacher = feature(2, 4, 5, 3), feature(2, 6, 5, 3, seed=1)
    expected = nn.functional.mse_loss(head.regressor(student), teacher) / 2
    torch.testing.assert_close(total(loss, student, teacher), expected, rtol=1e-6, atol=1e-6)


def test_vid_learns_the_variance_of_its_own_residual() -> None:
    loss = VID(info(4), info(6)).double()
    (head,) = loss.heads
    student, teacher = feature(4, 4, 5, 3), feature(4, 6, 5, 3, seed=1)
    optimiser = torch.optim.Adam([head.pre_variance], lr=0.3)
    (own,) = [group for group in loss.optimiser_groups() if group.weight_decay == 0.0]
    assert [id(parameter) for parameter in own.parameters] == [id(head.pre_variance)]
    for _ in range(300):
        optimiser.zero_grad()
        total(loss, student, teacher).backward()
        optimiser.step()
    residual = (head.regressor(student) - teacher).square().mean((0, 2, 3))
    torch.testing.assert_close(head.variance, residual, rtol=1e-3, atol=0.0)


def test_vid_is_finite_where_published_code_overflows() -> None:
    loss = VID(info(4), info(6), initial_variance=200.0)
    (head,) = loss.heads
    torch.testing.assert_close(head.variance, torch.full((6,), 200.0))
    nn.init.constant_(head.pre_variance, -1e4)
    assert (head.variance == VARIANCE_FLOOR).all()
    assert torch.isfinite(total(loss, feature(1, 4, 2, 2).float(), feature(1, 6, 2, 2).float()))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vid", {"initial_variance": 0.0}, "initial_variance"),
        ("ft", {"rate": 0.01}, "rate"),
        ("at", {"power": -1.0}, "power"),
        ("at", {"tap": []}, "at least one tap"),
        ("at", {"tap": ["head", "head"], "teacher_tap": "head"}, "as many taps"),
        ("fitnet", {"kernel_size": [0, 1]}, "kernel_size"),
        ("fitnet", {"tap": "nose"}, "nose"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        build_loss(name, info(4), info(6), options)


def test_a_recipe_may_list_taps() -> None:
    loss = build_loss("at", info(4), info(6), {"tap": [TAP, TAP]})
    assert isinstance(loss, AT)
    assert len(loss.pairs) == 2
