"""SNE-RoadSeg: the paper's sizes, fusion by addition at five stages, its closing ReLU, and a teacher that sees more."""

import pytest
import timm
import torch
from torch import Tensor

import foglight
from foglight.engine.distiller import Distiller
from foglight.errors import ConfigurationError
from foglight.models.load import load_network
from foglight.models.pretrained import load_pretrained_backbone
from foglight.models.registry import build_module, parameter_count
from foglight.models.sne_roadseg import SNERoadSeg, sne_roadseg_resnet
from foglight.models.taps import recorded

# Millions with 19 classes: both encoders, and the image's alone. Counted once from the public code.
PUBLISHED = {18: (28.42, 17.24), 34: (48.63, 27.35), 50: (132.06, 108.56), 101: (170.05, 127.55), 152: (201.33, 143.19)}


def on_meta(depth: int, extra_channels: int) -> SNERoadSeg:
    with torch.device("meta"):
        return sne_roadseg_resnet(19, depth=depth, extra_channels=extra_channels)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("depth", PUBLISHED)
def test_sizes_are_those_of_the_public_code(depth: int) -> None:
    for count, millions in zip((3, 0), PUBLISHED[depth], strict=True):
        assert parameter_count(on_meta(depth, count)) / 1e6 == pytest.approx(millions, abs=0.01)


def test_encoders_of_lix_are_two_resnet_152_or_one() -> None:
    teacher, student = on_meta(152, 3), on_meta(152, 0)
    assert teacher.extra_backbone is not None
    assert parameter_count(teacher.backbone) + parameter_count(teacher.extra_backbone) == 116_287_616
    assert parameter_count(student.backbone) == 58_143_808
    assert parameter_count(student.decoder) == parameter_count(teacher.decoder)


def lite(extra_channels: int, **options: object) -> SNERoadSeg:
    name = "sne_roadseg_lite" if extra_channels else "sne_roadseg_lite_rgb"
    given = {**({"extra_channels": extra_channels} if extra_channels else {}), **options}
    module = build_module(name, num_classes=4, options=given).eval()
    assert isinstance(module, SNERoadSeg)
    return module


def test_lite_pair_is_small_enough_for_a_cpu() -> None:
    assert parameter_count(lite(1)) < 0.35e6
    assert parameter_count(lite(0)) < 0.25e6


def features_of(module: SNERoadSeg, image: Tensor, extra: Tensor | None) -> dict[str, Tensor]:
    with torch.no_grad(), recorded(module, list(module.tap_names)) as features:
        module(image, extra, auxiliary=False)
    return features


def test_each_stage_is_the_sum_of_both_and_the_second_encoder_stays_unfused() -> None:
    torch.manual_seed(0)
    module = lite(1)
    image, depth = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    features = features_of(module, image, depth)
    assert module.extra_backbone is not None
    feature, other = image, depth
    for number, (stage, beside) in enumerate(
        zip(module.backbone.five_stages(), module.extra_backbone.five_stages(), strict=True), start=1
    ):
        other = beside(other)
        feature = stage(feature) + other
        assert torch.allclose(features[f"stage{number}"], feature, atol=1e-5)
        assert feature.shape[-1] == 64 // 2**number
        if number > 1:
            assert torch.equal(features[f"layer{number - 1}"], features[f"stage{number}"])


def test_teacher_and_student_taps_have_equal_shapes() -> None:
    teacher, student = (load_network(f"sne_roadseg_lite{end}", num_classes=4).info() for end in ("", "_rgb"))
    for number in range(1, 6):
        assert teacher.tap(f"stage{number}").channels == student.tap(f"stage{number}").channels


def test_the_closing_relu_makes_logits_non_negative_and_is_an_option() -> None:
    torch.manual_seed(0)
    image = torch.randn(2, 3, 64, 64)
    open_ended, closed = lite(0), lite(0, closing_relu=True)
    closed.load_state_dict(open_ended.state_dict())
    free, clipped = (module.train()(image, None, auxiliary=False)[0] for module in (open_ended.eval(), closed.eval()))
    assert free.min() < 0
    assert clipped.min() == 0
    assert sne_roadseg_resnet(2, depth=18, extra_channels=0).closing(torch.tensor(-1.0)) == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_both_encoders_start_from_the_same_weights(channels: int) -> None:
    state = timm.create_model("resnet18.tv_in1k", pretrained=False).state_dict()
    module = build_module("sne_roadseg_r18", num_classes=3, options={"extra_channels": channels})
    load_pretrained_backbone(module, "sne_roadseg_r18", download=lambda _: state)
    assert isinstance(module, SNERoadSeg)
    assert module.extra_backbone is not None
    image, extra = module.backbone.state_dict(), module.extra_backbone.state_dict()
    assert [key for key in image if key != "conv1.weight" and not torch.equal(image[key], extra[key])] == []
    colours = state["conv1.weight"]
    expected = colours if channels == 3 else colours.mean(dim=1, keepdim=True)
    assert torch.equal(extra["conv1.weight"], expected)


def test_widths_and_second_encoder_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="expected 5 widths"):
        build_module("sne_roadseg_lite", num_classes=3, options={"widths": (8, 8)})
    for name in ("sne_roadseg_r18", "sne_roadseg_lite", "mfnet"):
        with pytest.raises(ConfigurationError, match="expected extra_channels >= 0, got -1"):
            build_module(name, num_classes=3, options={"extra_channels": -1})


@pytest.mark.parametrize("method", ["kd", "fotf", "dwld", "arfd", "lix"])
@pytest.mark.parametrize("pair", ["sne_roadseg_lite", "mfnet_lite"])
def test_a_teacher_with_depth_teaches_a_student_of_colour_images(pair: str, method: str) -> None:
    torch.manual_seed(0)
    teacher, student = (load_network(f"{pair}{end}", num_classes=4) for end in ("", "_rgb"))
    distiller = Distiller(student, teacher, foglight.method(method), total_steps=10).train()
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, 64, 64, generator=generator)
    label = torch.randint(0, 4, (2, 64, 64), generator=generator)
    near, far = (distance * torch.rand(2, 1, 64, 64, generator=generator) for distance in (5, 50))
    totals = []
    for depth in (near, far):
        torch.manual_seed(2)
        total, _ = distiller(image, label, extra=depth)
        totals.append(total.item())
    total.backward()
    assert all(torch.isfinite(one.grad).all() for one in student.parameters() if one.grad is not None)
    assert sum(float(one.grad.abs().sum()) for one in student.parameters() if one.grad is not None) > 0
    # What the teacher sees in the depth reaches the student's loss, in which depth appears nowhere else.
    assert totals[0] != totals[1]
    with pytest.raises(ConfigurationError, match=rf"{pair} reads 1 extra channel\(s\).* the data has 0"):
        distiller(image, label)


def test_one_training_step_of_the_published_form_on_resnet_18() -> None:
    torch.manual_seed(0)
    network = load_network("sne_roadseg_r18", num_classes=4).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    image, normals = torch.rand(2, 3, 64, 96), torch.randn(2, 3, 64, 96)
    logits = network(image, normals).logits
    assert logits.shape == (2, 4, 64, 96)
    torch.nn.functional.cross_entropy(logits, torch.randint(0, 4, (2, 64, 96))).backward()
    before = {name: one.clone() for name, one in network.named_parameters()}
    optimiser.step()
    still = [name for name, one in network.named_parameters() if torch.equal(one, before[name])]
    # The bias of a convolution that a BatchNorm follows has no gradient but rounding.
    assert [name for name in still if not name.endswith("bias")] == []
