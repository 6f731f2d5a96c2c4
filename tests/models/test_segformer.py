"""SegFormer through transformers: the papers' sizes, its dropout with and without, and its stages as taps."""

import builtins

import pytest
import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from foglight.errors import ConfigurationError, RefusedError
from foglight.models.load import load_network
from foglight.models.registry import build_module, parameter_count
from foglight.models.segformer import SegFormer
from foglight.types import SigmaRequest


@pytest.mark.parametrize(("name", "exact"), [("segformer_b0", 3_719_027), ("segformer_b4", 64_007_635)])
def test_sizes_with_19_classes(name: str, exact: int) -> None:
    with torch.device("meta"):
        assert parameter_count(build_module(name, num_classes=19, options={})) == exact


def test_it_says_what_the_whole_transformers_model_says() -> None:
    torch.manual_seed(0)
    whole = SegformerForSemanticSegmentation(SegformerConfig(num_labels=5, depths=[1, 1, 1, 1])).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = whole(pixel_values=image).logits
        logits, _ = SegFormer(whole).eval()(image, None, auxiliary=False)
    assert torch.equal(logits, expected)


def test_the_head_dropout_alone_has_a_closed_form_and_hidden_dropout_is_sampled() -> None:
    small = {"hidden_dropout": 0.0, "drop_path": 0.0}
    head_only = load_network("segformer_b0", num_classes=5, options=small)
    assert [dropout.name for dropout in head_only.active_dropouts()] == ["head.dropout"]
    request = SigmaRequest(estimator="closed_form")
    sigma = head_only.train()(torch.rand(1, 3, 64, 64), sigma=[request]).sigma[request]
    assert sigma.shape == (1, 5, 16, 16)
    assert sigma.max() > 0
    hidden = load_network("segformer_b0", num_classes=5, options={"hidden_dropout": 0.1})
    assert len(hidden.active_dropouts()) > 8
    assert hidden.active_dropouts()[-1].feeds_classifier


def test_without_dropout_there_is_nothing_to_draw() -> None:
    network = load_network("segformer_b0", num_classes=5, options={"dropout": 0.0})
    with pytest.raises(RefusedError, match="no-dropout"):
        network(torch.rand(1, 3, 64, 64), sigma=[SigmaRequest()])


def test_stages_are_maps_at_strides_4_to_32() -> None:
    info = load_network("segformer_b0", num_classes=5).info()
    found = {tap: (info.tap(tap).channels, info.tap(tap).stride) for tap in ("stage1", "stage2", "layer3", "layer4")}
    assert found == {"stage1": (32, 4), "stage2": (64, 8), "layer3": (160, 16), "layer4": (256, 32)}
    assert info.stride == 4


def test_one_training_step() -> None:
    torch.manual_seed(0)
    network = load_network("segformer_b0", num_classes=5).train()
    logits = network(torch.rand(2, 3, 64, 64)).logits
    torch.nn.functional.cross_entropy(logits, torch.randint(0, 5, (2, 16, 16))).backward()
    torch.optim.AdamW(network.parameters(), lr=1e-4).step()
    assert all(torch.isfinite(one).all() for one in network.parameters())


def test_without_the_library_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def missing(name: str, *arguments: object, **options: object) -> object:
        if name == "transformers":
            raise ImportError("No module named 'transformers'")
        return load(name, *arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError, match=r"pip install 'foglight\[hf\]'"):
        build_module("segformer_b0", num_classes=5, options={})
