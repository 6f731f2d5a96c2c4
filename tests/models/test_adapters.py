"""Does a network of another library keep the contract that losses, engine and files rely on?"""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from foglight.errors import CheckpointError, ConfigurationError, UserError
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.models.student_file import load_student, save_student
from foglight.types import SigmaRequest
from models.foreign_networks import CONFIGS, folder_of, segformer_teacher

CLASSES = 5
TRANSFORMERS = [f"hf:{name}" for name in CONFIGS]
OTHERS = [
    "torchvision:lraspp_mobilenet_v3_large",
    "smp:Unet:resnet18:decoder_channels=[16, 8, 8, 8, 8]",
    "smp:FPN:resnet18",
    "smp:Segformer:mit_b0",
    "timm:resnet18",
    "timm:vit_tiny_patch16_224",
]
# One of each kind every time, their relatives when time allows.
SLOW = {"dpt", "upernet", "dinov2", "convnext", *OTHERS} - {"smp:Unet:resnet18:decoder_channels=[16, 8, 8, 8, 8]"}
EVERY = [
    pytest.param(name, marks=[pytest.mark.slow] if name.removeprefix("hf:") in SLOW else [])
    for name in (*TRANSFORMERS, *OTHERS)
]
# Queries are no classifier on a feature map; LR-ASPP's backbone has blocks and no stages.
WITHOUT = {
    "hf:mask2former": {"head", "head_clean"},
    "hf:eomt": {"head", "head_clean"},
    "torchvision:lraspp_mobilenet_v3_large": {"layer1", "layer2", "layer3", "layer4"},
}
LOOKED_FOR = {"layer1", "layer2", "layer3", "layer4", "backbone", "head", "head_clean"}


def built(name: str, folder: Path, **options: object) -> Network:
    torch.manual_seed(0)
    known = name.removeprefix("hf:")
    return load_network(folder_of(known, folder) if known in CONFIGS else name, num_classes=CLASSES, options=options)


def image(*size: int) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


def grid_of(network: Network, stride: int) -> tuple[int, ...]:
    """Of an image of 65 x 97 pixels."""
    multiple = network.module.size_multiple
    if multiple == 1 and network.name.startswith("hf:"):  # these see the whole image stretched to their own square
        return (64 // stride, 64 // stride)
    padded = [-(-side // multiple) * multiple for side in (65, 97)]
    return tuple(-(-side * -(-pad // stride) // pad) for side, pad in zip((65, 97), padded, strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_a_foreign_network_is_a_network(name: str, tmp_path: Path) -> None:
    """Logits and the taps that losses look for, on their grids at odd sizes; gradients; the same again from a file."""
    network = built(name, tmp_path / "config").train()
    info = network.info((64, 96))
    assert info.num_classes == CLASSES
    assert LOOKED_FOR - info.taps.keys() == WITHOUT.get(name, set())
    output = network(image(65, 97), taps=list(info.taps))
    output.logits.sum().backward()
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    for tap, values in output.features.items():
        assert values.shape[1] == info.taps[tap].channels
        assert grid_of(network, info.taps[tap].stride) == values.shape[2:], tap
    assert grid_of(network, info.stride) == output.logits.shape[2:]
    save_student(network, tmp_path / "kept", metadata={"class_names": list("abcde")})
    for one in (tmp_path / "config").glob("*"):
        one.unlink()  # the file alone must say how to build it
    again = load_student(tmp_path / "kept")
    assert again.class_names == tuple("abcde")
    assert again.normalisation == network.normalisation
    assert torch.equal(again(image(64, 64)).logits, network.eval()(image(64, 64)).logits)


@pytest.mark.parametrize("name", ["hf:segformer", "smp:Unet:resnet18", "hf:dinov3"])
def test_a_padded_image_gives_the_logits_of_its_padding(name: str, tmp_path: Path) -> None:
    """An image is padded by repeating its border and cropped back, inside, so that the caller need not know."""
    network = built(name, tmp_path).eval()
    odd = image(50, 70)
    down, right = (-side % network.module.size_multiple for side in (50, 70))
    padded = torch.nn.functional.pad(odd, (0, right, 0, down), mode="replicate")
    seen, whole = network(odd, taps=["layer4"]), network(padded, taps=["layer4"])
    for small, large in ((seen.logits, whole.logits), (seen.features["layer4"], whole.features["layer4"])):
        assert torch.equal(small, large[:, :, : small.shape[2], : small.shape[3]])


@pytest.mark.parametrize(("name", "tap"), [("hf:beit", "layer1"), ("hf:dinov3", "layer1"), ("hf:eomt", "block1")])
def test_tokens_fold_to_the_places_that_they_stand_for(name: str, tap: str, tmp_path: Path) -> None:
    """A changed patch changes its own place most; class and register tokens are gone."""
    network = built(name, tmp_path).eval()
    plain, changed = image(64, 64), image(64, 64)
    changed[:, :, 16:32, 32:48] = 1 - changed[:, :, 16:32, 32:48]
    before, after = (network(one, taps=[tap]).features[tap] for one in (plain, changed))
    assert before.shape[2:] == (4, 4)
    assert (before - after).abs().sum(1)[0].argmax() == 1 * 4 + 2


@pytest.mark.parametrize("name", ["hf:upernet", "hf:segformer", "lite_s"])
def test_a_dropout_can_be_inserted_into_any_network(name: str, tmp_path: Path) -> None:
    options = {"lite_s": {"dropout": 0.0}, "hf:segformer": {"classifier_dropout_prob": 0.0}}.get(name, {})
    keys = built(name, tmp_path / "a", **options).state_dict().keys()
    network = built(name, tmp_path / "b", insert_dropout=0.25, **options).train()
    assert network.state_dict().keys() == keys
    assert [one.rate for one in network.active_dropouts()] == [0.25]
    assert "dropout 0.25 inserted before" in network.weights_source
    replay, full = (SigmaRequest(estimator=how, passes=2) for how in ("replay", "full"))
    sigma = network(image(64, 64), sigma=[replay, full, SigmaRequest()]).sigma
    assert torch.equal(sigma[replay], sigma[full])
    assert sigma[SigmaRequest()].max() > 0
    save_student(network, tmp_path / "kept", metadata={})
    assert [one.rate for one in load_student(tmp_path / "kept").active_dropouts()] == [0.25]
    copied = copy.deepcopy(network)
    copied.module.get_submodule(copied.dropout_path().dropouts[-1]).p = 0.0
    assert network.active_dropouts()
    assert not copied.active_dropouts(), "a copy draws from the dropout of the original"


def test_a_folder_of_transformers_stands_for_its_weights(tmp_path: Path) -> None:
    model = segformer_teacher(tmp_path, ("road", "truck", "car", "sky"))
    network = load_network(f"hf:{tmp_path}").eval()
    assert network.class_names == ("road", "truck", "car", "sky")
    seen = (image(64, 64) - network.mean) / network.std
    assert torch.equal(network(image(64, 64)).logits, model(seen).logits)
    anew = load_network(f"hf:{tmp_path}", num_classes=7)
    assert "from scratch: 2 tensors of decode_head" in anew.weights_source
    state = anew.module.inner.state_dict()
    shared = [key for key in state if not key.startswith("decode_head.classifier")]
    assert all(torch.equal(state[key], model.state_dict()[key]) for key in shared)
    assert load_network(f"hf:{tmp_path}", pretrained=False).weights_source == "from scratch"


def test_mean_and_channel_order_come_from_the_preprocessor(tmp_path: Path) -> None:
    name = folder_of("segformer", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}')
    assert load_network(name, num_classes=2).normalisation == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false, "do_flip_channel_order": true}')
    flipped = load_network(name, num_classes=2).eval()
    assert torch.equal(flipped(image(64, 64)).logits, flipped.module.inner(image(64, 64).flip(1)).logits)


def test_published_sizes() -> None:
    """Xie et al. 2021, table 1: SegFormer-B0 has 3.8 M parameters on ADE20K, B1 13.7 M."""
    counts = {
        name: sum(p.numel() for p in load_network(name, num_classes=150).parameters())
        for name in ("hf:segformer-b0", "hf:segformer-b1")
    }
    assert {name: round(count / 1e6, 1) for name, count in counts.items()} == {
        "hf:segformer-b0": 3.8,
        "hf:segformer-b1": 13.7,
    }


def test_something_in_the_path_of_a_stage_that_is_only_read_is_refused(tmp_path: Path) -> None:
    network = built("hf:segformer", tmp_path).eval()
    insertion = {"layer4": torch.nn.Conv2d(16, 16, 1)}
    with network.inserted(insertion), pytest.raises(UserError, match="read, not written"):
        network(image(64, 64))
    smp = built("smp:Unet:resnet18", tmp_path).eval()
    plain = smp(image(64, 64)).logits
    with smp.inserted({"layer4": torch.nn.Conv2d(512, 512, 1)}):
        assert not torch.equal(smp(image(64, 64)).logits, plain)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hf:segformr-b0", {}, "did you mean 'segformer-b0'"),
        ("hf:segformer-b0", {"depth": 3}, "no option 'depth'"),
        ("smp:Unett:resnet18", {}, "did you mean 'Unet'"),
        ("smp:Unet:resnt18", {}, "resnet18"),
        ("smp:Unet", {}, "smp:ARCHITECTURE:ENCODER"),
        ("smp:Unet:resnet18:foo=1", {}, "no option 'foo'"),
        ("timm:resnt18", {}, "resnet18"),
        ("timm:resnet18", {"head": "heavy"}, "light or linear"),
        ("timm:resnet18", {"nosuch": 1}, "nosuch"),
        ("torchvision:fcn", {}, "fcn_resnet50"),
        ("lite_s", {"insert_dropout": 1.5}, "rate in"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_line(name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_network(name, num_classes=CLASSES, options=options)


def test_a_missing_head_or_file_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_network(f"hf:{tmp_path}", num_classes=2)
    with pytest.raises(CheckpointError, match="no weights beside config"):
        load_network(folder_of("segformer", tmp_path), num_classes=2, pretrained=True)
    for name in ("timm:resnet18", folder_of("dinov2", tmp_path / "dino")):
        with pytest.raises(ConfigurationError, match="--finetune-teacher"):
            load_network(name)
    with pytest.raises(ConfigurationError, match="no linear classifier"):
        load_network(folder_of("eomt", tmp_path / "eomt"), num_classes=2, options={"insert_dropout": 0.1})


def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "segmentation_models_pytorch", None)
    with pytest.raises(ConfigurationError, match=r'pip install "foglight\[smp\]"'):
        load_network("smp:Unet:resnet18", num_classes=2)
