"""Is sigma what many stochastic passes say, three ways, without leaving a trace?"""

import pytest
import torch
from torch import Tensor, nn

from foglight.errors import RefusedError, UserError
from foglight.models.network import UNNORMALISED, Network
from foglight.models.segmentation_module import SegmentationModule
from foglight.types import SigmaRequest


class Net(SegmentationModule):
    """Trunk with BatchNorm and in-place ReLU, optional early dropout, auxiliary head with its own dropout."""

    tap_names = {"head": "head.0"}  # noqa: RUF012

    def __init__(self, early: float = 0.0, last: float = 0.3, *, kind: type = nn.Dropout, classes: int = 4) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.early = nn.Dropout(early)
        self.side = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, classes, 1))
        self.head = nn.Sequential(nn.Conv2d(8, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(inplace=True), kind(last))
        self.classifier = nn.Conv2d(16, classes, 1)

    def forward(self, image: Tensor, extra: Tensor | None, *, auxiliary: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        shared = self.trunk(image)
        side = (self.side(shared),) if auxiliary else ()
        return self.classifier(self.head(self.early(shared))), side


def network(module: nn.Module, classes: int = 4) -> Network:
    mean, std = UNNORMALISED
    return Network(module, num_classes=classes, mean=mean, std=std, name="net", builder=None)


def build(early: float = 0.0, last: float = 0.3, *, kind: type = nn.Dropout, classes: int = 4) -> Network:
    torch.manual_seed(0)
    return network(Net(early, last, kind=kind, classes=classes), max(2, classes))


IMAGE = torch.rand(2, 3, 12, 20, generator=torch.Generator().manual_seed(1))


def state_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in net.state_dict().items()}


def assert_same_state(net: nn.Module, before: dict[str, Tensor]) -> None:
    for name, values in net.state_dict().items():
        assert torch.equal(values, before[name]), name


# A replay keeps the training pass's upstream mask where a whole pass has none: so no early dropout with last_dropout.
@pytest.mark.parametrize(("early", "scope"), [(0.0, "all"), (0.4, "all"), (0.0, "last_dropout")])
@pytest.mark.parametrize(("mode", "training"), [("batch", True), ("running", True), ("batch", False)])
def test_replay_is_bitwise_a_whole_forward(early: float, scope: str, mode: str, training: bool) -> None:
    net = build(early).train(training)
    replay, full = (SigmaRequest(estimator=how, scope=scope, batch_norm=mode) for how in ("replay", "full"))
    output = net(IMAGE, sigma=[replay, full], seed=3, auxiliary=True)
    assert output.sigma[full].max() > 0.01
    assert torch.equal(output.sigma[replay], output.sigma[full])


def test_replay_computes_the_prefix_once() -> None:
    net = build().train()
    runs = {"trunk": 0, "classifier": 0}
    original = net.module.trunk[0]._conv_forward
    net.module.trunk[0]._conv_forward = lambda *a: (runs.update(trunk=runs["trunk"] + 1), original(*a))[1]
    last = net.module.classifier._conv_forward
    net.module.classifier._conv_forward = lambda *a: (runs.update(classifier=runs["classifier"] + 1), last(*a))[1]
    net.dropout_path()
    runs.update(trunk=0, classifier=0)
    net(IMAGE, sigma=[SigmaRequest(estimator="replay", passes=5)])
    assert runs == {"trunk": 1, "classifier": 6}


@pytest.mark.parametrize("estimator", ["closed_form", "replay", "full"])
@pytest.mark.parametrize("mode", ["batch", "running"])
def test_no_trace_is_left(estimator: str, mode: str) -> None:
    plain, asked = build().train(), build().train()
    request = SigmaRequest(estimator=estimator, batch_norm=mode)
    outputs = []
    for net, sigma in ((plain, []), (asked, [request])):
        torch.manual_seed(5)
        output = net(IMAGE, sigma=sigma, auxiliary=True)
        output.logits.sum().backward()
        outputs.append((output.logits, torch.rand(3), output.auxiliary[0]))
    for one, other in zip(*outputs, strict=True):
        assert torch.equal(one, other)
    assert_same_state(asked, state_of(plain))
    assert all(part.training for part in asked.modules())
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in asked.modules())
    assert all("forward" not in vars(part) for part in asked.modules())
    for one, other in zip(plain.parameters(), asked.parameters(), strict=True):
        assert one.grad is None or torch.equal(one.grad, other.grad)


def test_update_reproduces_a_naive_loop() -> None:
    naive, ours = build().train(), build().train()
    request = SigmaRequest(batch_norm="update", stream="shared", passes=3)
    torch.manual_seed(7)
    naive(IMAGE)
    with torch.no_grad():
        passes = torch.stack([naive(IMAGE).logits.softmax(1) for _ in range(3)])
    torch.manual_seed(7)
    sigma = ours(IMAGE, sigma=[request]).sigma[request]
    torch.testing.assert_close(sigma, passes.std(0, correction=0))
    assert_same_state(ours, state_of(naive))
    with pytest.raises(UserError, match="estimator: full"):
        ours(IMAGE, sigma=[SigmaRequest(estimator="replay", batch_norm="update")])


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
@pytest.mark.parametrize("grid", ["head", "label"])
@pytest.mark.parametrize("training", [True, False])
def test_closed_form_is_what_many_passes_say(kind: type, grid: str, training: bool) -> None:
    net = build(kind=kind).train(training)
    image = IMAGE[:, :, :8, :8]
    closed = SigmaRequest(grid=grid, temperature=0.7)
    sampled = SigmaRequest(estimator="replay", passes=800, grid=grid, temperature=0.7)
    with torch.no_grad():
        sigma = net(image, sigma=[closed, sampled], label_size=(15, 16)).sigma
    assert sigma[closed].shape == sigma[sampled].shape == ((2, 4, 15, 16) if grid == "label" else (2, 4, 4, 4))
    error = (sigma[closed] - sigma[sampled]).abs().sum() / sigma[sampled].sum()
    assert error < 0.06


def test_five_passes_are_matched_on_average() -> None:
    net = build().train()
    matched = SigmaRequest(match_passes=5)
    with torch.no_grad():
        few = [
            net(IMAGE, sigma=[request := SigmaRequest(estimator="replay")], seed=seed).sigma[request].mean()
            for seed in range(80)
        ]
        ours = net(IMAGE, sigma=[matched]).sigma[matched].mean()
    assert abs(torch.stack(few).mean() / ours - 1) < 0.03


def test_one_channel_means_two_classes() -> None:
    net = build(classes=1).train()
    closed, sampled = SigmaRequest(), SigmaRequest(estimator="replay", passes=800)
    output = net(IMAGE, sigma=[closed, sampled], auxiliary=True)
    assert output.logits.shape[1] == output.auxiliary[0].shape[1] == 2
    torch.testing.assert_close(output.sigma[closed][:, 0], output.sigma[closed][:, 1])
    torch.testing.assert_close(output.sigma[closed], output.sigma[sampled], atol=0.01, rtol=0.05)


def test_rate_zero_gives_exactly_zero() -> None:
    net = build().train()
    requests = [SigmaRequest(estimator=how, rate=0.0) for how in ("closed_form", "replay", "full")]
    for sigma in net(IMAGE, sigma=requests).sigma.values():
        assert not sigma.any()
    assert net.module.head[3].p == 0.3


def test_estimator_is_chosen_by_completeness() -> None:
    assert [one.feeds_classifier for one in build(0.4).active_dropouts()] == [False, True]
    assert [one.name for one in build().active_dropouts()] == ["head.3"]
    with pytest.raises(UserError, match="last_dropout"):
        build(0.4)(IMAGE, sigma=[SigmaRequest(estimator="closed_form")])
    last = SigmaRequest(estimator="closed_form", scope="last_dropout")
    assert build(0.4).train()(IMAGE, sigma=[last]).sigma[last].max() > 0
    net = build(0.4, 0.0).train()
    with pytest.raises(UserError, match="1x1 classifier"):
        net(IMAGE, sigma=[SigmaRequest(estimator="closed_form", scope="last_dropout")])
    assert net(IMAGE, sigma=[last := SigmaRequest()]).sigma[last].max() > 0


def test_without_dropout_it_is_refused_by_name() -> None:
    with pytest.raises(RefusedError) as caught:
        build(last=0.0)(IMAGE, sigma=[SigmaRequest()])
    assert caught.value.name == "no-dropout"
    with pytest.raises(UserError, match="ddof"):
        build()(IMAGE, sigma=[SigmaRequest(estimator="replay", passes=1, ddof=1)])
    with pytest.raises(ValueError, match="label_size"):
        build()(IMAGE, sigma=[SigmaRequest(grid="label")])


class DropPath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand(x.shape[0], 1, 1, 1) if self.training else x


def test_stochastic_depth_is_off_in_the_passes() -> None:
    net = build().train()
    net.module.trunk.append(DropPath())
    replay, full, still = (
        SigmaRequest(estimator="replay"),
        SigmaRequest(estimator="full"),
        SigmaRequest(estimator="full", rate=0.0),
    )
    output = net(IMAGE, sigma=[replay, full, still])
    assert not output.sigma[still].any()
    assert torch.equal(output.sigma[replay], output.sigma[full])
    assert net.module.trunk[-1].training


class Overwriting(Net):
    """A plain in-place operation on a kept output, and an in-place dropout."""

    def forward(self, image: Tensor, extra: Tensor | None, *, auxiliary: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        shared = self.trunk(image)
        shared += 1.0
        return self.classifier(self.head(self.early(shared))), ()


def test_in_place_operations_do_not_falsify_a_replay() -> None:
    for kind in (Overwriting, Net):
        torch.manual_seed(0)
        net = network(kind(0.4)).train()
        net.module.early.inplace = True
        replay, full = SigmaRequest(estimator="replay"), SigmaRequest(estimator="full")
        with torch.no_grad():  # what these operations overwrite, a backward would miss
            output = net(IMAGE, sigma=[replay, full])
        assert torch.equal(output.sigma[replay], output.sigma[full])
        assert net.module.early.inplace


def test_sigma_under_autocast_is_float32() -> None:
    net = build().train()
    requests = [SigmaRequest(), SigmaRequest(estimator="replay")]
    with torch.autocast("cpu", torch.bfloat16):
        output = net(IMAGE, sigma=requests)
    exact = net(IMAGE, sigma=requests[:1])
    assert output.logits.dtype == output.sigma[requests[0]].dtype == output.sigma[requests[1]].dtype == torch.float32
    torch.testing.assert_close(output.sigma[requests[0]], exact.sigma[requests[0]], atol=0.01, rtol=0.05)
