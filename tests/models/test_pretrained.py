"""Are timm's weights loaded whole, named, and refused clearly where there are none?"""

from collections.abc import Mapping

import pytest
import timm
import torch
from torch import Tensor

from foglight.errors import CheckpointError, ConfigurationError
from foglight.models.cards import MODEL_CARDS
from foglight.models.pretrained import backbone_of, load_pretrained_backbone
from foglight.models.registry import build_module


def fake_download(weights: str) -> Mapping[str, Tensor]:
    """timm's architecture of that name with random weights."""
    torch.manual_seed(5)
    return timm.create_model(weights, pretrained=False).state_dict()


@pytest.mark.parametrize("card", MODEL_CARDS.values(), ids=lambda card: card.name)
def test_timm_has_what_the_card_says_and_it_fits(card) -> None:
    if card.pretrained is None:
        assert "timm" in card.weights or "scratch" in card.weights
        return
    assert card.pretrained in timm.list_pretrained()
    with torch.device("meta"):
        module = build_module(card.name, num_classes=3, options={})
        state = timm.create_model(card.pretrained, pretrained=False).state_dict()
    ours = {key: value.shape for key, value in backbone_of(module).state_dict().items()}
    theirs = {key: value.shape for key, value in state.items()}
    assert ours.items() <= theirs.items()
    assert all(key.startswith(("fc.", "conv_head.", "bn2.", "classifier.")) for key in theirs.keys() - ours.keys())


def test_weights_are_loaded_whole_and_their_source_is_named() -> None:
    module = build_module("deeplabv3plus_r18", num_classes=3, options={})
    source = load_pretrained_backbone(module, "deeplabv3plus_r18", download=fake_download)
    assert source == "timm resnet18.tv_in1k"
    theirs = fake_download("resnet18.tv_in1k")
    assert all(torch.equal(value, theirs[key]) for key, value in backbone_of(module).state_dict().items())


def test_offline_is_one_clear_error() -> None:
    def offline(_: str) -> Mapping[str, Tensor]:
        raise OSError("no route to host")

    module = build_module("pspnet_r18_plain", num_classes=3, options={})
    with pytest.raises(CheckpointError, match=r"resnet18.tv_in1k cannot be downloaded.*weights: FILE"):
        load_pretrained_backbone(module, "pspnet_r18_plain", download=offline)


def test_weights_that_do_not_fit_leave_the_network_as_it_was() -> None:
    module = build_module("pspnet_r18_plain", num_classes=3, options={})
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = dict(fake_download("resnet18.tv_in1k"))
    state.pop("layer4.1.conv2.weight")
    with pytest.raises(CheckpointError, match=r"does not fit.*layer4.1.conv2.weight"):
        load_pretrained_backbone(module, "pspnet_r18_plain", download=lambda _: state)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deeplabv3_r18", r"no ResNet-18 with a deep stem.*weights: FILE.*deeplabv3_r18_plain"),
        ("lite_s", "no backbone"),
    ],
)
def test_no_weights_in_timm_is_said_with_the_way_out(name: str, message: str) -> None:
    module = build_module(name, num_classes=3, options={})
    with pytest.raises(ConfigurationError, match=message):
        load_pretrained_backbone(module, name, download=fake_download)
