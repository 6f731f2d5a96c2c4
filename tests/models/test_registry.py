"""Can networks be listed cheaply, built by name, and refused in words that help?"""

import subprocess
import sys

import pytest
import torch

from foglight.errors import ConfigurationError
from foglight.models.registry import build_module, model_card, model_names, model_options


def test_listing_imports_neither_torch_nor_timm() -> None:
    code = (
        "import sys; from foglight.models.registry import model_names, model_card; "
        "model_card(model_names()[0]); assert not {'torch', 'timm'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", model_names())
def test_every_card_builds_and_its_options_are_the_builders(name: str) -> None:
    card = model_card(name)
    with torch.device("meta"):
        module = build_module(name, num_classes=3, options=model_options(name))
    assert card.name == name
    assert card.title
    assert card.source
    assert card.weights
    assert set(card.defaults) <= set(model_options(name))
    assert not set(card.identity) & set(model_options(name))
    assert {"layer1", "layer2", "layer3", "layer4", "head", "head_clean"} <= set(module.tap_names)
    assert module.align_corners


def test_options_change_the_network() -> None:
    with torch.device("meta"):
        module = build_module("pspnet_r18", num_classes=3, options={"channels": 64, "head_dropout": 0.3})
    assert module.get_submodule("head.dropout").p == 0.3
    assert module.get_submodule("head.classifier").in_channels == 64


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'deeplabv3_r19'.*did you mean 'deeplabv3_r18'"):
        build_module("deeplabv3_r19", num_classes=3, options={})


@pytest.mark.parametrize("option", ["head_dropot", "depth"])
def test_an_unknown_option_is_met_with_the_legal_ones(option: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"no option '{option}'.*nown: .*output_stride"):
        build_module("deeplabv3_r18", num_classes=3, options={option: 1})


@pytest.mark.parametrize("options", [{"widths": [8, 8]}, {"dropout": 1.5}])
def test_an_impossible_value_is_one_clear_error(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="lite_s cannot be built"):
        build_module("lite_s", num_classes=3, options=options)


def test_no_classes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="num_classes >= 1, got 0"):
        build_module("lite_s", num_classes=0, options={})


def test_the_same_seed_gives_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_module("lite_s", num_classes=3, options={}).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
