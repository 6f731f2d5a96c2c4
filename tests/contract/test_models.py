"""Does every registered network keep the contract that losses, engine and files rely on?"""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from foglight.errors import ConfigurationError
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.models.registry import model_names
from foglight.models.student_file import load_student, save_student
from foglight.types import SigmaRequest

CLASSES = 5
# These have more than 40 M parameters, or are a deeper form of a family that is tested each time.
DEEP = ("r34", "r50", "r101", "r152", "b4")
BIG = {name for name in model_names() if any(part in DEEP for part in name.split("_"))}
EVERY = [pytest.param(name, marks=[pytest.mark.slow] if name in BIG else []) for name in model_names()]


@cache
def kept(name: str) -> Network:
    torch.manual_seed(0)
    return load_network(name, num_classes=CLASSES)


def built(name: str) -> Network:
    # Half a dozen networks of 200 M parameters at once would fill the memory of a small machine.
    return kept.__wrapped__(name) if name in BIG else kept(name)


def image(*size: int) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


def extra(network: Network, *size: int) -> Tensor | None:
    """What the network reads beside the image."""
    channels = network.extra_channels
    return torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(2)) if channels else None


def state_of(network: Network) -> dict[str, Tensor]:
    return {key: values.clone() for key, values in network.state_dict().items()}


def assert_same(state: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert [key for key in state if not torch.equal(state[key], other[key])] == []


@pytest.mark.parametrize("name", EVERY)
def test_odd_sizes_forward_and_backward(name: str) -> None:
    network = built(name).train()
    network.zero_grad()
    output = network(image(65, 97), extra(network, 65, 97), taps=list(network.module.tap_names), auxiliary=True)
    assert output.logits.shape[:2] == (2, CLASSES)
    (output.logits.sum() + sum(one.sum() for one in output.auxiliary)).backward()
    for key, one in network.named_parameters():
        assert one.grad is not None, key
        assert torch.isfinite(one.grad).all(), key
    network.zero_grad()


@pytest.mark.parametrize("name", EVERY)
def test_taps_are_what_info_says(name: str) -> None:
    network = built(name).train()
    state, random = state_of(network), torch.get_rng_state()
    info = network.info()
    assert_same(state, network.state_dict())
    assert torch.equal(random, torch.get_rng_state())
    assert set(info.taps) == set(network.module.tap_names)
    output = network.eval()(image(64, 96), extra(network, 64, 96), taps=info.taps)
    assert output.logits.shape[2:] == (64 // info.stride, 96 // info.stride)
    for tap, described in info.taps.items():
        stride = described.stride
        assert output.features[tap].shape == (2, described.channels, 64 // stride, 96 // stride), tap
        if described.closing_batch_norm is not None:
            assert described.closing_batch_norm[0].shape == (described.channels,)


@pytest.mark.parametrize("name", EVERY)
def test_sigma_leaves_no_trace(name: str) -> None:
    network = built(name).train()
    assert network.active_dropouts(), "a registered network has a dropout to draw from"
    start = state_of(network)
    request, forced = SigmaRequest(passes=2), SigmaRequest(estimator="replay", passes=2)
    outcomes = []
    for sigma in ([], [request, forced]):
        network.load_state_dict(start)
        torch.manual_seed(3)
        output = network(image(64, 64), extra(network, 64, 64), sigma=sigma, auxiliary=True)
        outcomes.append((output.logits.detach(), state_of(network), torch.get_rng_state()))
    assert output.sigma[request].max() > 0
    assert output.sigma[forced].max() > 0
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert_same(outcomes[0][1], outcomes[1][1])
    assert torch.equal(outcomes[0][2], outcomes[1][2])


@pytest.mark.parametrize("name", EVERY)
def test_replay_is_bitwise_a_whole_forward(name: str) -> None:
    network = built(name).train()
    replay, full = (SigmaRequest(estimator=how, passes=2) for how in ("replay", "full"))
    sigma = network(image(64, 64), extra(network, 64, 64), sigma=[replay, full], seed=4).sigma
    assert torch.equal(sigma[replay], sigma[full])


@pytest.mark.parametrize("name", EVERY)
def test_eval_is_deterministic_and_runs_under_autocast(name: str) -> None:
    network = built(name).eval()
    state = state_of(network)
    first, second = (network(image(64, 64), extra(network, 64, 64)).logits for _ in range(2))
    assert torch.equal(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        request, every = SigmaRequest(passes=2), list(network.module.tap_names)
        output = network(image(64, 64), extra(network, 64, 64), taps=every, sigma=[request])
    produced = [output.logits, *output.features.values(), output.sigma[request]]
    assert {values.dtype for values in produced} == {torch.float32}
    assert_same(state, network.state_dict())


@pytest.mark.parametrize("name", EVERY)
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    network = built(name).eval()
    save_student(network, tmp_path, metadata={})
    loaded = load_student(tmp_path)
    assert_same(network.state_dict(), loaded.state_dict())
    first, second = (one(image(64, 64), extra(network, 64, 64)).logits for one in (network, loaded))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", EVERY)
def test_normalisation_is_inside(name: str) -> None:
    network = built(name).eval()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in network.normalisation)
    beside = extra(network, 64, 64)
    bare, _ = network.module((image(64, 64) - mean) / std, beside, auxiliary=False)
    assert torch.equal(network(image(64, 64), beside).logits, bare)


@pytest.mark.parametrize("name", EVERY)
def test_extra_channels_are_ignored_or_insisted_on(name: str) -> None:
    network = built(name).eval()
    wanted = extra(network, 64, 64)
    if wanted is None:
        plain, beside = (network(image(64, 64), one).logits for one in (None, torch.rand(2, 2, 64, 64)))
        assert torch.equal(plain, beside)
        return
    for wrong, count in ((None, 0), (torch.cat([wanted, wanted], dim=1), 2 * network.extra_channels)):
        with pytest.raises(ConfigurationError, match=f"{name} reads {network.extra_channels} .* has {count}"):
            network(image(64, 64), wrong)
