"""MFNet: exact sizes of the public code, joining at bottleneck and skips, and a student of colour images."""

import pytest
import torch

from foglight.errors import ConfigurationError
from foglight.models.load import load_network
from foglight.models.mfnet import MFNet
from foglight.models.registry import build_module, parameter_count
from foglight.models.taps import recorded


@pytest.mark.parametrize(("classes", "exact"), [(9, 736_275), (19, 739_185)])
def test_sizes_are_exactly_those_of_the_public_code(classes: int, exact: int) -> None:
    module = MFNet(classes, extra_channels=1)
    assert module.extra_backbone is not None
    assert parameter_count(module) == exact
    assert parameter_count(module.backbone) == 528_096
    assert parameter_count(module.extra_backbone) == 73_752


def test_taps_join_both_encoders_and_are_narrower_in_the_student() -> None:
    teacher, student = (load_network(name, num_classes=5).info() for name in ("mfnet", "mfnet_rgb"))
    widths = {"stage2": (64, 48), "stage3": (64, 48), "stage4": (132, 96), "stage5": (132, 96)}
    for tap, (wide, narrow) in widths.items():
        assert (teacher.tap(tap).channels, student.tap(tap).channels) == (wide, narrow)
        assert teacher.tap(tap).stride == student.tap(tap).stride == 2 ** (int(tap[-1]) - 1)
    assert (teacher.tap("head").channels, student.tap("head").channels) == (32, 16)


def test_the_image_comes_first_and_the_extra_channel_does_not_touch_it() -> None:
    torch.manual_seed(0)
    module = MFNet(5, extra_channels=1).eval()
    image = torch.rand(1, 3, 32, 48)
    seen = []
    for depth in (torch.zeros(1, 1, 32, 48), torch.rand(1, 1, 32, 48)):
        with torch.no_grad(), recorded(module, ["stage4"]) as features:
            module(image, depth, auxiliary=False)
        seen.append(features["stage4"])
    assert torch.equal(seen[0][:, :96], seen[1][:, :96])
    assert not torch.equal(seen[0][:, 96:], seen[1][:, 96:])


def test_every_part_reaches_the_logits_in_one_training_step() -> None:
    torch.manual_seed(0)
    network = load_network("mfnet", num_classes=5).train()
    logits = network(torch.rand(2, 3, 40, 56), torch.rand(2, 1, 40, 56)).logits
    assert logits.shape == (2, 5, 40, 56)
    torch.nn.functional.cross_entropy(logits, torch.randint(0, 5, (2, 40, 56))).backward()
    silent = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()]
    assert silent == []


def test_published_logits_lean_on_a_leaky_relu_and_plain_ones_do_not() -> None:
    torch.manual_seed(0)
    closed, plain = (MFNet(5, extra_channels=0, closing_relu=closing).eval() for closing in (True, False))
    plain.load_state_dict(closed.state_dict())
    image = torch.rand(1, 3, 32, 32)
    leaky, free = (module(image, None, auxiliary=False)[0] for module in (closed, plain))
    assert free.min() < 0
    assert torch.allclose(leaky, torch.where(free > 0, free, 0.2 * free))


def test_widths_that_the_skips_cannot_be_added_with_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"expected widths \(a, b, b, c, c\)"):
        build_module("mfnet", num_classes=3, options={"widths": (8, 16, 24, 32, 32)})


def test_the_lite_pair_is_small_enough_for_a_cpu() -> None:
    assert [parameter_count(build_module(name, num_classes=12, options={})) for name in ("mfnet_lite", "mfnet_lite_rgb")
            ] == [182_436, 151_068]  # fmt: skip
