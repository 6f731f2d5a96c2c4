"""Do uncertainty maps keep their bounds, vanish without dropout, and agree with the networks' own estimator?"""

import math

import pytest
import torch

from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.engine.uncertainty import predictive_uncertainty, require_dropout
from foglight.errors import ConfigurationError
from foglight.functional.predictive_uncertainty import RunningUncertainty
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.types import SigmaRequest, derive_seed

CLASSES = 5
IMAGE = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def network(dropout: float) -> Network:
    torch.manual_seed(0)
    return load_network("lite_s", num_classes=CLASSES, options={"dropout": dropout}).eval()


@pytest.mark.parametrize(
    "settings",
    [
        EvaluateSettings(),
        EvaluateSettings(temperature=0.2),
        EvaluateSettings(sliding=(16, 16)),
        EvaluateSettings(flip=True),
    ],
)
@torch.no_grad()
def test_maps_keep_their_bounds(settings: EvaluateSettings) -> None:
    found = predictive_uncertainty(network(0.5), IMAGE, settings=settings, passes=4)
    torch.testing.assert_close(found.mean.sum(1), torch.ones(1, 32, 48))
    for values, highest in (
        (found.sigma, 0.5),
        (found.entropy, math.log(CLASSES)),
        (found.mutual_information, math.log(CLASSES)),
    ):
        assert values.shape[-2:] == (32, 48)
        assert values.min() >= 0
        assert 0 < values.max() <= highest + 1e-6
    assert (found.mutual_information <= found.entropy).all()


@torch.no_grad()
def test_without_dropout_only_the_entropy_of_the_network_itself_is_left() -> None:
    plain = network(0.0)
    found = predictive_uncertainty(plain, IMAGE, settings=EvaluateSettings())
    assert not found.sigma.any()
    assert not found.mutual_information.any()
    log_probability = predict(plain, IMAGE, settings=EvaluateSettings())
    expected = -(log_probability.exp() * log_probability).sum(1, keepdim=True)
    torch.testing.assert_close(found.entropy, expected)
    require_dropout(plain, ["entropy"])
    for kind in ("sigma", "mutual-information"):
        with pytest.raises(ConfigurationError, match=rf"{kind}: lite_s has no active dropout.*entropy"):
            require_dropout(plain, [kind])


@torch.no_grad()
def test_mean_and_sigma_are_those_of_the_networks_own_passes() -> None:
    dropping, settings = network(0.3), EvaluateSettings(temperature=1.7)
    found = predictive_uncertainty(dropping, IMAGE, settings=settings, passes=6)
    mean = predict(dropping, IMAGE, settings=EvaluateSettings(temperature=1.7, mc=6)).exp()
    torch.testing.assert_close(found.mean, mean)
    request = SigmaRequest(estimator="replay", passes=6, grid="label", temperature=1.7)
    seed = derive_seed(0, "predictive mean")
    said = dropping(IMAGE, sigma=[request], label_size=(32, 48), seed=seed)
    torch.testing.assert_close(found.sigma, said.sigma[request])


@torch.no_grad()
def test_every_pass_of_a_window_is_drawn_anew_and_the_same_seed_draws_the_same() -> None:
    dropping, settings = network(0.5), EvaluateSettings(sliding=(16, 24))
    first, second = (predictive_uncertainty(dropping, IMAGE, settings=settings, passes=3) for _ in range(2))
    assert torch.equal(first.mutual_information, second.mutual_information)
    other = predictive_uncertainty(dropping, IMAGE, settings=EvaluateSettings(sliding=(16, 24), seed=1), passes=3)
    assert not torch.equal(first.mutual_information, other.mutual_information)
    assert first.sigma.any()


def test_no_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pass"):
        RunningUncertainty().compute()
