"""Is PSPNet the network of the CIRKD family?"""

import torch
from torch import nn
from torch.nn import functional

from foglight.models.pyramid_pooling import PyramidPooling
from foglight.models.registry import build_module
from foglight.models.taps import recorded


def test_shapes_on_an_odd_image_and_every_alias_fires() -> None:
    network = build_module("pspnet_r18", num_classes=5, options={}).eval()
    with recorded(network, list(network.tap_names)) as features:
        logits, auxiliary = network(torch.rand(1, 3, 65, 97), None, auxiliary=True)
    assert logits.shape == (1, 5, 9, 13)
    assert [one.shape for one in auxiliary] == [(1, 5, 9, 13)]
    assert set(features) == set(network.tap_names)
    assert features["ppm"].shape == (1, 1024, 9, 13)
    assert features["head"].shape == (1, 128, 9, 13)


def test_the_only_dropout_before_the_logits_feeds_the_classifier() -> None:
    with torch.device("meta"):
        network = build_module("pspnet_r18", num_classes=5, options={})
    found = {name: module.p for name, module in network.named_modules() if isinstance(module, nn.Dropout)}
    assert found == {"head.dropout": 0.1, "auxiliary.dropout": 0.1}


def test_pyramid_pooling_joins_the_input_with_its_averages_laid_back() -> None:
    torch.manual_seed(0)
    ppm = PyramidPooling(8, bins=(1, 2)).eval()
    feature = torch.rand(2, 8, 6, 4)
    joined = ppm(feature)
    assert torch.equal(joined[:, :8], feature)
    for start, bins, branch in ((8, 1, ppm.branches[0]), (12, 2, ppm.branches[1])):
        height, width = 6 // bins, 4 // bins
        mean = feature.reshape(2, 8, bins, height, bins, width).mean(dim=(3, 5))
        expected = functional.interpolate(branch.project(mean), (6, 4), mode="bilinear", align_corners=True)
        assert torch.allclose(joined[:, start : start + 4], expected, atol=1e-6)


def test_the_teachers_head_has_512_channels() -> None:
    with torch.device("meta"):
        network = build_module("pspnet_r101", num_classes=19, options={})
        narrow = build_module("pspnet_r101", num_classes=19, options={"channels": 256})
    assert network.get_submodule("head.classifier").in_channels == 512
    assert narrow.get_submodule("head.classifier").in_channels == 256
