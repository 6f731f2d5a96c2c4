"""Truths that CBAM and attnfd must keep in the limit, without any reference numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from foglight.errors import ConfigurationError
from foglight.losses.attention import CBAM, ParameterFreeAttention, gate_channels, gate_positions
from foglight.losses.features.attnfd import AttnFD, refined_distance
from foglight.models.deeplabv3plus import deeplabv3plus_resnet
from foglight.models.network import IMAGENET, Network
from foglight.types import Batch, ModelInfo, ModelOutput, TapInfo

TAPS = {"backbone": TapInfo(24, 16), "encoder": TapInfo(16, 16), "decoder": TapInfo(16, 4)}
INFO = ModelInfo(5, 4, TAPS, align_corners=True)


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def said(images: int = 2, seed: int = 0) -> ModelOutput:
    sizes = {"backbone": (3, 4), "encoder": (3, 4), "decoder": (12, 16)}
    return ModelOutput(
        maps(images, 5, 12, 16, seed=seed),
        {tap: maps(images, TAPS[tap].channels, *size, seed=seed + 1) for tap, size in sizes.items()},
    )


def batch(images: int = 2, label: Tensor | None = None) -> Batch:
    return Batch(torch.zeros(images, 3, 48, 64), label=label)


def build(**options: Any) -> AttnFD:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AttnFD(INFO, INFO, **options).double()


@pytest.mark.parametrize(("channels", "count"), [(512, 33_412), (256, 8_564), (320, 13_240), (2048, 526_564)])
def test_attention_is_as_large_as_published(channels: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in CBAM(channels).parameters()) == count


def test_open_gates_change_nothing_and_shut_gates_leave_nothing() -> None:
    feature = maps(2, 4, 3, 5)
    for logit, expected in ((1e3, feature), (-1e3, torch.zeros_like(feature)), (0.0, feature / 2)):
        for gate in (gate_channels, gate_positions):
            torch.testing.assert_close(gate(feature, lambda pooled, at=logit: 0 * pooled[:, :1] + at), expected)


def test_channel_attention_sees_the_set_of_positions_only() -> None:
    feature, order = maps(2, 4, 3, 5), torch.randperm(15, generator=torch.Generator().manual_seed(1))
    perceptron = CBAM(4).double().perceptron
    shuffled = gate_channels(feature.flatten(2)[..., order].view_as(feature), perceptron)
    torch.testing.assert_close(shuffled, gate_channels(feature, perceptron).flatten(2)[..., order].view_as(feature))


def test_attention_without_parameters_is_the_equation() -> None:
    feature = maps(2, 4, 3, 5)
    gated = feature * torch.sigmoid(feature.amax((2, 3)) + feature.mean((2, 3)))[:, :, None, None]
    expected = gated * torch.sigmoid(gated.amax(1, keepdim=True) + gated.mean(1, keepdim=True))
    torch.testing.assert_close(ParameterFreeAttention()(feature), expected)


@pytest.mark.parametrize("scope", ["sample", "batch", "channel", "pixel"])
def test_distance_is_zero_for_equal_and_four_for_opposite_directions(scope: Any) -> None:
    feature = maps(3, 4, 2, 5)
    for factor, expected in ((2.5, 0.0), (-0.1, 4.0)):
        distance = refined_distance(feature, factor * feature, scope=scope)
        root = refined_distance(feature, factor * feature, scope=scope, squared=False)
        torch.testing.assert_close(distance, torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(root**2, torch.tensor(expected, dtype=torch.float64))


def test_the_unsquared_distance_has_a_finite_gradient_where_it_is_zero() -> None:
    feature = maps(2, 4, 3, 5).requires_grad_()
    refined_distance(feature, feature, squared=False).backward()
    assert feature.grad is not None
    assert not feature.grad.any()


def test_a_dead_map_has_no_gradient() -> None:
    feature = torch.zeros(2, 4, 3, 5, requires_grad=True)
    distance = refined_distance(feature, torch.ones(2, 4, 3, 5))
    distance.backward()
    torch.testing.assert_close(distance.detach(), torch.tensor(1.0))
    assert feature.grad is not None
    assert not feature.grad.any()


def test_the_default_norm_does_not_depend_on_the_size_of_the_batch() -> None:
    loss = build().eval()
    student, teacher = said(4), said(4, seed=7)

    def of(images: slice) -> Tensor:
        own, given = (
            ModelOutput(one.logits[images], {tap: feature[images] for tap, feature in one.features.items()})
            for one in (student, teacher)
        )
        return loss(own, given, batch(len(own.logits)))["attnfd"]

    torch.testing.assert_close(of(slice(4)), (of(slice(2)) + of(slice(2, 4))) / 2)


def test_the_published_norm_of_one_image_is_the_default() -> None:
    student, teacher = said(1), said(1, seed=7)
    published = build(scope="batch", divide_by_batch=True).eval()
    torch.testing.assert_close(
        published(student, teacher, batch(1))["attnfd"], build().eval()(student, teacher, batch(1))["attnfd"]
    )


def test_taps_add_up() -> None:
    student, teacher = said(), said(seed=7)
    whole = build().eval()
    parts = 0.0
    for index, tap in enumerate(TAPS):
        part = build(taps=(tap,)).eval()
        part.student_attention[0].load_state_dict(whole.student_attention[index].state_dict())
        part.connectors[0].load_state_dict(whole.connectors[index].state_dict())
        part.adapt_modules[0].load_state_dict(whole.adapt_modules[index].state_dict())
        parts = parts + part(student, teacher, batch())["attnfd"]
    torch.testing.assert_close(whole(student, teacher, batch())["attnfd"], parts)


def test_a_masked_position_has_no_gradient_but_through_attention_and_statistics() -> None:
    label = torch.zeros(2, 48, 64, dtype=torch.long)
    label[:, 24:] = 255
    loss = build(taps=("decoder",), mask_ignored=True).eval()
    # Without attention every position stands for itself.
    loss.student_attention[0] = torch.nn.Identity()
    student = said()
    student.features["decoder"].requires_grad_()
    loss(student, said(seed=7), batch(label=label))["attnfd"].backward()
    gradient = student.features["decoder"].grad
    assert gradient is not None
    assert gradient[:, :, :6].any()
    assert not gradient[:, :, 6:].any()


def test_frozen_attention_keeps_its_statistics_while_the_loss_trains() -> None:
    loss = build()
    loss.adapt_modules.requires_grad_(False)
    before = {name: value.clone() for name, value in loss.adapt_modules.state_dict().items()}
    loss.train()
    loss(said(), said(seed=7), batch())
    for name, value in loss.adapt_modules.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_published_code_forgets_the_perceptrons() -> None:
    trained = {id(parameter) for group in build().optimiser_groups() for parameter in group.parameters}
    loss = build(train_channel_attention=False)
    forgotten = {id(parameter) for group in loss.optimiser_groups() for parameter in group.parameters}
    perceptrons = [parameter for attention in loss.student_attention for parameter in attention.perceptron.parameters()]
    assert len(trained) - len(forgotten) == len(perceptrons)
    assert not any(parameter.requires_grad for parameter in perceptrons)


@pytest.mark.parametrize("kind", ["random", "parameter_free"])
def test_attention_that_is_not_adapted_asks_for_nothing(kind: Any) -> None:
    loss = build(attention_of_teacher=kind)
    assert loss.adapt_steps == 0
    assert not loss.insertions
    assert not any(parameter.requires_grad for parameter in loss.adapt_modules.parameters())


def test_adapting_stands_in_the_teachers_path_and_lowers_its_cross_entropy() -> None:
    torch.manual_seed(0)
    module = deeplabv3plus_resnet(5, depth=18, multi_grid=(), channels=16, low_level_channels=8, atrous_rates=(1, 2))
    mean, std = IMAGENET
    teacher = Network(module, num_classes=5, mean=mean, std=std, name="teacher", builder=None).eval()
    teacher.requires_grad_(False)
    info = teacher.info((64, 64))
    loss = AttnFD(info, info)
    assert [pair.teacher for pair in loss.pairs] == ["backbone", "encoder", "decoder"]
    given = Batch(torch.rand(2, 3, 64, 64), label=torch.randint(5, (2, 64, 64)))
    optimiser = torch.optim.SGD(loss.adapt_modules.parameters(), lr=0.1)
    values: list[float] = []
    for _ in range(4):
        with teacher.inserted(loss.insertions):
            value = loss.adapt_loss(teacher(given.image), given)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < values[0]
    # The loss refines the plain teacher's feature to what the head saw while adapting.
    plain = teacher(given.image, taps=loss.requires.teacher_taps)
    loss.adapt_modules.eval()
    (_, shown), *_ = loss.refinements(plain, plain)
    with teacher.inserted({"backbone": loss.adapt_modules[0]}):
        through = teacher(given.image, taps=["encoder"]).features["encoder"]
    with teacher.inserted({"backbone": Constant(shown.refined)}):
        torch.testing.assert_close(teacher(given.image, taps=["encoder"]).features["encoder"], through)


class Constant(torch.nn.Module):
    """Puts a stored tensor into the path."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, feature: Tensor) -> Tensor:
        return self.value


def test_the_teachers_gates_start_open_so_that_its_head_still_works() -> None:
    torch.manual_seed(0)
    feature = maps(2, 24, 6, 8).float()
    half_shut, started = CBAM(24)(feature), AttnFD(INFO, INFO).adapt_modules[0](feature)
    assert half_shut.norm() < 0.6 * feature.norm()
    assert started.norm() > 0.7 * feature.norm()


def test_bad_input_is_refused_by_name() -> None:
    vectors = ModelInfo(5, 0, {"layer4": TapInfo(8, 0)})
    with pytest.raises(ValueError, match="expected maps"):
        AttnFD(vectors, vectors)
    with pytest.raises(ValueError, match="as many taps"):
        AttnFD(INFO, INFO, student_taps=("backbone", "encoder"), teacher_taps=("decoder",))
    with pytest.raises(ValueError, match="expected networks with the taps"):
        AttnFD(INFO, ModelInfo(5, 8, {"blocks": TapInfo(8, 8)}))
    with pytest.raises(ValueError, match="adapt_steps"):
        build(adapt_steps=0)
    with pytest.raises(ConfigurationError, match="parameter_free"):
        build().adapt_loss(said(), batch())
