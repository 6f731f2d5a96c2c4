"""Does a converted public checkpoint compute what the public network computes?

The reference is written from the public key names and facts alone, on tensors, sharing no code with the networks.
"""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from foglight.errors import CheckpointError
from foglight.models.convert import PUBLIC_MEAN, PUBLIC_STD, load_public_checkpoint
from foglight.models.registry import build_module

CLASSES = 4
MEAN_BGR = torch.tensor([104.00698793, 116.66876762, 122.67891434], dtype=torch.float64).view(3, 1, 1)


def shapes_of_backbone() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, norm: str, out: int, into: int, side: int = 3) -> None:
        shapes[f"{name}.weight"] = (out, into, side, side)
        shapes.update({f"{norm}.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")})

    for i, (into, out) in enumerate(((3, 64), (64, 64), (64, 128)), start=1):
        conv(f"conv{i}", f"bn{i}", out, into)
    into = 128
    for i, out in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            prefix = f"layer{i}.{block}"
            conv(f"{prefix}.conv1", f"{prefix}.bn1", out, into)
            conv(f"{prefix}.conv2", f"{prefix}.bn2", out, out)
            if block == 0:
                conv(f"{prefix}.downsample.0", f"{prefix}.downsample.1", out, into, 1)
            into = out
    return shapes


def shapes_of_network(head: str) -> dict[str, tuple[int, ...]]:
    shapes = {f"pretrained.{key}": shape for key, shape in shapes_of_backbone().items()}

    def block(name: str, first: int, out: int, into: int, side: int) -> None:
        shapes[f"{name}.{first}.weight"] = (out, into, side, side)
        parts = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{name}.{first + 1}.{part}": (out,) for part in parts})

    def classifier(name: str, into: int) -> None:
        shapes.update({f"{name}.weight": (CLASSES, into, 1, 1), f"{name}.bias": (CLASSES,)})

    if head == "deeplabv3_r18":
        block("head.aspp.b0", 0, 128, 512, 1)
        for i in (1, 2, 3):
            block(f"head.aspp.b{i}.block", 0, 128, 512, 3)
        block("head.aspp.b4.gap", 1, 128, 512, 1)
        block("head.aspp.project", 0, 128, 640, 1)
        block("head.block", 0, 128, 128, 3)
        classifier("head.block.4", 128)
    else:
        for i in (1, 2, 3, 4):
            block(f"head.psp.conv{i}", 0, 128, 512, 1)
        block("head.block", 0, 128, 1024, 3)
        classifier("head.classifier", 128)
    block("auxlayer.block", 0, 64, 256, 3)
    classifier("auxlayer.block.4", 64)
    return shapes


def random_state(shapes: Mapping[str, tuple[int, ...]], *, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 4:
            state[key] = noise * (2 / noise[0].numel()) ** 0.5
        else:
            state[key] = 1 + noise.abs() / 10 if key.endswith(("weight", "var")) else noise / 10
    return state


class Reference:
    """The public forward in evaluation mode, from a public state dict."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = {key: value.double() for key, value in state.items()}

    def block(
        self, x: Tensor, conv: str, norm: str, *, stride: int = 1, dilation: int = 1, relu: bool = True
    ) -> Tensor:
        weight = self.state[f"{conv}.weight"]
        x = functional.conv2d(x, weight, None, stride, dilation * (weight.shape[-1] // 2), dilation)
        parts = (self.state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        x = functional.batch_norm(x, *parts)
        return x.relu() if relu else x

    def layer(self, x: Tensor, name: str, stride: int, first: int, dilation: int) -> Tensor:
        for i in (0, 1):
            prefix, step = f"{name}.{i}", stride if i == 0 else 1
            y = self.block(x, f"{prefix}.conv1", f"{prefix}.bn1", stride=step, dilation=dilation if i else first)
            y = self.block(y, f"{prefix}.conv2", f"{prefix}.bn2", dilation=dilation, relu=False)
            if i == 0:
                x = self.block(x, f"{prefix}.downsample.0", f"{prefix}.downsample.1", stride=stride, relu=False)
            x = (x + y).relu()
        return x

    def pooled(self, x: Tensor, bins: int, conv: str, norm: str) -> Tensor:
        y = self.block(functional.adaptive_avg_pool2d(x, bins), conv, norm)
        return functional.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True)

    def classify(self, x: Tensor, name: str) -> Tensor:
        return functional.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def __call__(self, x: Tensor, head: str) -> tuple[Tensor, Tensor]:
        for i, stride in ((1, 2), (2, 1), (3, 1)):
            x = self.block(x, f"pretrained.conv{i}", f"pretrained.bn{i}", stride=stride)
        x = functional.max_pool2d(x, 3, 2, 1)
        x = self.layer(x, "pretrained.layer1", 1, 1, 1)
        x = self.layer(x, "pretrained.layer2", 2, 1, 1)
        third = self.layer(x, "pretrained.layer3", 1, 1, 2)
        x = self.layer(third, "pretrained.layer4", 1, 2, 4)
        auxiliary = self.classify(self.block(third, "auxlayer.block.0", "auxlayer.block.1"), "auxlayer.block.4")
        if head == "deeplabv3_r18":
            branches = [self.block(x, "head.aspp.b0.0", "head.aspp.b0.1")]
            for i, rate in ((1, 12), (2, 24), (3, 36)):
                branches.append(self.block(x, f"head.aspp.b{i}.block.0", f"head.aspp.b{i}.block.1", dilation=rate))
            branches.append(self.pooled(x, 1, "head.aspp.b4.gap.1", "head.aspp.b4.gap.2"))
            x = self.block(torch.cat(branches, 1), "head.aspp.project.0", "head.aspp.project.1")
            return self.classify(self.block(x, "head.block.0", "head.block.1"), "head.block.4"), auxiliary
        pooled = [
            self.pooled(x, bins, f"head.psp.conv{i}.0", f"head.psp.conv{i}.1")
            for i, bins in ((1, 1), (2, 2), (3, 3), (4, 6))
        ]
        x = self.block(torch.cat([x, *pooled], 1), "head.block.0", "head.block.1")
        return self.classify(x, "head.classifier"), auxiliary


@pytest.mark.parametrize("name", ["deeplabv3_r18", "pspnet_r18"])
def test_a_converted_network_computes_what_the_public_one_does(name: str) -> None:
    state = random_state(shapes_of_network(name))
    module = build_module(name, num_classes=CLASSES, options={}).eval()
    report = load_public_checkpoint(module, state, source="public.pth")
    assert report.fits
    assert report.loaded == len(state)
    rgb = torch.rand(1, 3, 49, 65, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected, expected_auxiliary = Reference(state)(255 * rgb.flip(1) - MEAN_BGR, name)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (PUBLIC_MEAN, PUBLIC_STD))
    logits, (auxiliary,) = module.double()((rgb - mean) / std, None, auxiliary=True)
    assert torch.allclose(logits, expected, rtol=1e-9, atol=1e-9)
    assert torch.allclose(auxiliary, expected_auxiliary, rtol=1e-9, atol=1e-9)


def test_an_imagenet_backbone_loads_without_its_classifier_and_leaves_the_head_alone() -> None:
    state = random_state({**shapes_of_backbone(), "fc.weight": (1000, 512), "fc.bias": (1000,)})
    module = build_module("deeplabv3_r18", num_classes=CLASSES, options={})
    head = module.get_submodule("head.classifier").weight.detach().clone()
    report = load_public_checkpoint(module, state, source="resnet18-imagenet.pth")
    assert report.dropped == ("backbone.fc.weight", "backbone.fc.bias")
    assert report.loaded == len(state) - 2
    assert torch.equal(module.get_submodule("backbone.conv1.3").weight, state["conv2.weight"])
    assert torch.equal(module.get_submodule("backbone.conv1.0").weight, state["conv1.weight"].flip(1))
    assert torch.equal(module.get_submodule("head.classifier").weight, head)


def test_the_prefix_of_data_parallel_is_taken_off() -> None:
    state = {f"module.{key}": value for key, value in random_state(shapes_of_network("pspnet_r18")).items()}
    module = build_module("pspnet_r18", num_classes=CLASSES, options={})
    assert load_public_checkpoint(module, state, source="public.pth").loaded == len(state)


@pytest.mark.parametrize(
    ("name", "num_classes", "fault", "message"),
    [
        ("deeplabv3_r18", CLASSES, "missing", r"1 missing \(backbone.layer3.0.conv1.weight\)"),
        ("deeplabv3_r18", CLASSES, "unexpected", r"1 unexpected \(novelty\)"),
        ("deeplabv3_r18", CLASSES + 1, "none", r"4 of another shape"),
        ("deeplabv3_r18_plain", CLASSES, "none", r"missing \(backbone.conv1.weight\)"),
        ("pspnet_r18", CLASSES, "none", r"missing \(ppm.branches.0"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(name: str, num_classes: int, fault: str, message: str) -> None:
    state = random_state(shapes_of_network("deeplabv3_r18"))
    if fault == "missing":
        del state["pretrained.layer3.0.conv1.weight"]
    if fault == "unexpected":
        state["novelty"] = torch.zeros(1)
    module = build_module(name, num_classes=num_classes, options={})
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_public_checkpoint(module, state, source="public.pth")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_a_deep_public_backbone_of_101_layers_has_a_place_for_every_key() -> None:
    with torch.device("meta"):
        module = build_module("pspnet_r101", num_classes=CLASSES, options={})
    ours = module.get_submodule("backbone").state_dict()
    stem = {
        "conv1.0": "conv1",
        "conv1.1": "bn1",
        "conv1.3": "conv2",
        "conv1.4": "bn2",
        "conv1.6": "conv3",
        "bn1": "bn3",
    }
    public = {}
    for key, value in ours.items():
        name, _, part = key.rpartition(".")
        public[f"{stem.get(name, name)}.{part}"] = value
    assert load_public_checkpoint(module, public, source="resnet101-imagenet.pth").loaded == len(ours)
