"""Does the wrapper normalise, pad, describe and refuse as it says?"""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foglight.errors import UserError
from foglight.models.adapters.own_module import as_network, build_own_module
from foglight.models.ensemble import Ensemble
from foglight.models.network import IMAGENET, UNNORMALISED, Network
from foglight.models.segmentation_module import SegmentationModule
from foglight.types import SigmaRequest


class Strided(SegmentationModule):
    tap_names = {"body": "body", "before": "act:in"}  # noqa: RUF012
    size_multiple = 16

    def __init__(self, classes: int = 3, extra: int = 0, *, unused: bool = False) -> None:
        super().__init__()
        self.extra_channels = extra
        self.body = nn.Conv2d(3 + extra, 4, 8, 8)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(1, 1, 1)
        self.aux_dropout = nn.Dropout(0.5)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Conv2d(4, classes, 1)

    def forward(self, image: Tensor, extra: Tensor | None, *, auxiliary: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        feature = self.act(self.norm(self.body(image if extra is None else torch.cat([image, extra], 1))))
        side = (self.classifier(self.aux_dropout(feature)),) if auxiliary else ()
        return self.classifier(self.dropout(feature)), side


def wrap(module: SegmentationModule, classes: int = 3, normalisation: object = UNNORMALISED) -> Network:
    mean, std = normalisation
    return Network(module, num_classes=classes, mean=mean, std=std, name="strided", builder=None)


def test_images_are_normalised_inside() -> None:
    module, image = Strided().eval(), torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    expected, _ = module((image - mean) / std, None, auxiliary=False)
    network = wrap(module, normalisation=IMAGENET)
    assert torch.equal(network(image).logits, expected)
    assert set(network.state_dict()) == {f"module.{key}" for key in module.state_dict()}


@pytest.mark.parametrize(("size", "grid"), [((16, 16), (2, 2)), ((17, 23), (3, 3)), ((9, 32), (2, 4))])
def test_padding_is_taken_off_again(size: tuple[int, int], grid: tuple[int, int]) -> None:
    request = SigmaRequest()
    output = wrap(Strided())(torch.rand(2, 3, *size), taps=["body"], sigma=[request], auxiliary=True)
    shapes = [output.logits, output.features["body"], output.sigma[request], output.auxiliary[0]]
    assert all(values.shape[2:] == grid for values in shapes)


def test_info_is_measured_and_touches_nothing() -> None:
    network = wrap(Strided(extra=1)).train()
    network.module.norm.eval()
    state = {key: values.clone() for key, values in network.state_dict().items()}
    modes = {name: part.training for name, part in network.named_modules()}
    random = torch.get_rng_state()
    info = network.info(taps=["classifier", "dropout:in"])
    assert (info.num_classes, info.stride, list(info.taps)) == (3, 8, ["body", "before", "dropout:in", "classifier"])
    assert (info.tap("before").channels, info.tap("before").stride) == (4, 8)
    assert torch.equal(info.tap("norm").closing_batch_norm[0], network.module.norm.weight)
    assert torch.equal(info.tap("before").closing_batch_norm[1], network.module.norm.bias)
    assert info.tap("body").closing_batch_norm is info.tap("classifier").closing_batch_norm is None
    assert [(one.name, one.rate, one.feeds_classifier) for one in info.dropouts] == [("dropout", 0.2, True)]
    assert modes == {name: part.training for name, part in network.named_modules()}
    assert all(torch.equal(values, state[key]) for key, values in network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in network.modules())


def test_a_dropout_whose_input_the_classifier_reads_does_not_feed_it() -> None:
    class Aside(Strided):
        def forward(self, image: Tensor, extra: Tensor | None, *, auxiliary: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
            feature = self.body(image)
            self.dropout(feature)
            return self.classifier(feature), ()

    assert [one.feeds_classifier for one in wrap(Aside()).active_dropouts()] == [False]


def test_wrong_requests_are_refused_in_words() -> None:
    network = wrap(Strided())
    image = torch.rand(2, 3, 16, 16)
    for call in (lambda tap: network(image, taps=[tap]), lambda tap: network.info(taps=[tap])):
        with pytest.raises(UserError, match="did you mean body"):
            call("bodi")
        with pytest.raises(UserError, match="'unused' of strided never fired"):
            call("unused")
    with pytest.raises(UserError, match="expected 5 classes from strided, got 3"):
        wrap(Strided(), 5)(image)


def test_one_channel_is_expanded() -> None:
    output = wrap(Strided(1), 2)(torch.rand(2, 3, 16, 16), auxiliary=True)
    assert output.logits.shape[1] == output.auxiliary[0].shape[1] == 2
    assert not output.logits[:, 0].any()
    assert wrap(Strided(1), 2).info().num_classes == 2


def test_half_and_double_weights_get_such_images() -> None:
    image = torch.rand(2, 3, 16, 16)
    assert wrap(Strided()).bfloat16()(image, taps=["body"]).features["body"].dtype == torch.float32
    assert wrap(Strided()).double()(image).logits.dtype == torch.float64


def test_classification_logits_have_an_empty_grid() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(4, 5))
    network = as_network(inner).train()
    closed, sampled = SigmaRequest(), SigmaRequest(estimator="replay", passes=800)
    output = network(torch.rand(3, 3, 16, 16), taps=["0"], sigma=[closed, sampled])
    assert output.logits.shape == (3, 5)
    assert (network.num_classes, network.info().stride) == (5, 0)
    assert (output.sigma[closed] - output.sigma[sampled]).abs().sum() < 0.2 * output.sigma[sampled].sum()


def test_own_modules_may_answer_in_many_ways() -> None:
    class Answers(nn.Module):
        def __init__(self, how: object) -> None:
            super().__init__()
            self.conv, self.how = nn.Conv2d(3, 4, 1), how

        def forward(self, image: Tensor) -> object:
            return self.how(self.conv(image))

    class Output:
        def __init__(self, logits: Tensor) -> None:
            self.logits = logits

    image = torch.rand(1, 3, 8, 8)
    for how in (lambda z: z, lambda z: {"out": z, "aux": z}, lambda z: {"logits": z}, Output, lambda z: (z, z)):
        module = Answers(how)
        output = as_network(module)(image, taps=["conv"])
        assert torch.equal(output.logits, module.conv(image))
        assert torch.equal(output.features["conv"], output.logits)
    assert len(as_network(Answers(lambda z: {"out": z, "aux": z}))(image, auxiliary=True).auxiliary) == 1
    with pytest.raises(UserError, match="got str"):
        as_network(Answers(lambda z: "text"))


def test_builders_are_imported_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from torch import nn\ndef build(num_classes): return nn.Conv2d(3, num_classes, 1)\n"
    (tmp_path / "my_nets.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    built = build_own_module("module:my_nets:build", num_classes=7, options={})
    assert as_network(built).num_classes == 7
    for name, words in (("module:my_nets:bild", "build"), ("module:nowhere_x:build", "install"), ("module:x", "colon")):
        with pytest.raises(UserError, match=words):
            build_own_module(name, num_classes=7, options={})


def test_an_ensemble_averages_probabilities() -> None:
    members = [wrap(Strided()).eval() for _ in range(3)]
    image, request = torch.rand(2, 3, 16, 16), SigmaRequest(estimator="full", passes=400)
    together = Ensemble(members)
    output = together(image, sigma=[request])
    mean = torch.stack([one(image).logits.softmax(1) for one in members]).mean(0)
    torch.testing.assert_close(output.logits.exp(), mean)
    passes = torch.stack([one.softmax(1) for one in together.sample_logits(image, passes=400)])
    assert (output.sigma[request] - passes.std(0)).abs().sum() < 0.1 * passes.std(0).sum()
    assert len(list(together.parameters())) == 3 * len(list(members[0].parameters()))
    with pytest.raises(UserError, match="no taps"):
        together(image, taps=["body"])
