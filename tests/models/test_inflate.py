"""Does a widened network answer the colours as before, and does it learn to read the rest?"""

import pytest
import torch
from torch import nn

from foglight.models.inflate import Fill, Inflated, copy_fill, inflated_convolution, mean_fill, zero_fill
from foglight.models.network import IMAGENET, Network
from foglight.models.registry import build_module

FILLS = [zero_fill, mean_fill, copy_fill]


@pytest.mark.parametrize("fill", FILLS)
def test_the_response_to_colours_is_kept_while_the_rest_is_zero(fill: Fill) -> None:
    torch.manual_seed(0)
    plain = build_module("pspnet_r18_plain", num_classes=3, options={"auxiliary": False}).eval()
    image = torch.rand(1, 3, 64, 64)
    before, _ = plain(image, None, auxiliary=False)
    wide = Inflated(plain, 2, fill).eval()
    after, _ = wide(image, torch.zeros(1, 2, 64, 64), auxiliary=False)
    assert torch.allclose(after, before, atol=1e-6)
    other, _ = wide(image, torch.rand(1, 2, 64, 64), auxiliary=False)
    assert torch.allclose(other, before, atol=1e-6) == (fill is zero_fill)


def test_channels_that_start_at_zero_learn() -> None:
    torch.manual_seed(0)
    convolution = inflated_convolution(nn.Conv2d(3, 4, 3, bias=False), 1, zero_fill)
    convolution(torch.rand(1, 4, 8, 8)).square().sum().backward()
    assert convolution.weight.grad is not None
    assert convolution.weight.grad[:, 3].abs().sum() > 0


def test_copied_weights_are_the_colours_and_the_original_is_untouched() -> None:
    original = nn.Conv2d(3, 2, 3, stride=2, padding=1)
    wide = inflated_convolution(original, 3, copy_fill)
    assert torch.equal(wide.weight[:, 3:], original.weight)
    assert (wide.stride, wide.padding, wide.in_channels) == ((2, 2), (1, 1), 6)
    assert original.in_channels == 3


def test_it_is_a_network_like_any_other() -> None:
    network = Network(
        Inflated(build_module("deeplabv3_r18_plain", num_classes=3, options={}), 1),
        num_classes=3,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        name="rgbd",
        builder=None,
    ).eval()
    assert network.extra_channels == 1
    output = network(torch.rand(1, 3, 65, 64), torch.rand(1, 1, 65, 64), taps=["layer4", "head"])
    assert output.logits.shape[:2] == (1, 3)
    assert set(output.features) == {"layer4", "head"}
    assert network.active_dropouts()[-1].feeds_classifier


def test_what_cannot_be_widened_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a network of colour images, got one that reads 1 more"):
        Inflated(build_module("lite_s", num_classes=3, options={"extra_channels": 1}), 1)
    with pytest.raises(ValueError, match="expected a convolution of 3 channels"):
        inflated_convolution(nn.Conv2d(4, 8, 3), 1)
