"""Do the ways to predict an image agree where they must?"""

import pytest
import torch
from torch import Tensor, nn

from foglight.engine.evaluate import EvaluateSettings, evaluate, predict
from foglight.models.adapters.own_module import as_network
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.types import Batch


class PerPixel(nn.Module):
    """A network without context: what it says of a pixel depends on that pixel alone."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(image)


@pytest.fixture
def per_pixel() -> Network:
    torch.manual_seed(0)
    return as_network(PerPixel()).eval()


IMAGE = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "settings",
    [
        EvaluateSettings(sliding=(8, 8), overlap=0.5),
        EvaluateSettings(sliding=(7, 11), overlap=0.0),
        EvaluateSettings(sliding=(64, 64)),
        EvaluateSettings(flip=True),
    ],
)
@torch.no_grad()
def test_windows_and_mirrors_change_nothing_for_a_network_without_context(
    per_pixel: Network, settings: EvaluateSettings
) -> None:
    plain = predict(per_pixel, IMAGE, settings=EvaluateSettings())
    torch.testing.assert_close(predict(per_pixel, IMAGE, settings=settings), plain)


@torch.no_grad()
def test_probabilities_not_logits_are_averaged(per_pixel: Network) -> None:
    both = predict(per_pixel, IMAGE, settings=EvaluateSettings(scales=(0.5, 1.0))).exp()
    one = predict(per_pixel, IMAGE, settings=EvaluateSettings(scales=(0.5,))).exp()
    other = predict(per_pixel, IMAGE, settings=EvaluateSettings()).exp()
    torch.testing.assert_close(both, (one + other) / 2)


@torch.no_grad()
def test_log_probabilities_sum_to_one_and_temperature_flattens(per_pixel: Network) -> None:
    sharp = predict(per_pixel, IMAGE, settings=EvaluateSettings()).exp()
    flat = predict(per_pixel, IMAGE, settings=EvaluateSettings(temperature=5.0)).exp()
    torch.testing.assert_close(sharp.sum(1), torch.ones(1, 20, 30))
    assert (flat.amax(1) < sharp.amax(1)).all()


@torch.no_grad()
def test_the_predictive_mean_is_reproducible_and_differs_from_the_plain_network() -> None:
    torch.manual_seed(0)
    network = load_network("lite_s", num_classes=4).eval()
    settings = EvaluateSettings(mc=3)
    first, second = (predict(network, IMAGE, settings=settings) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.allclose(first, predict(network, IMAGE, settings=EvaluateSettings()))
    assert not network.training


def test_scores_of_a_perfect_network_are_perfect_and_its_mode_is_put_back(per_pixel: Network) -> None:
    per_pixel.train()
    with torch.no_grad():
        label = per_pixel(IMAGE).logits.argmax(1)
    scores = evaluate(per_pixel, [Batch(IMAGE, label=label)], class_names=list("abcd"))
    assert scores.miou == 1.0
    assert per_pixel.training


def test_without_labels_or_batches_it_says_so(per_pixel: Network) -> None:
    with pytest.raises(ValueError, match="without labels"):
        evaluate(per_pixel, [Batch(IMAGE)], class_names=list("abcd"))
    with pytest.raises(ValueError, match="at least one batch"):
        evaluate(per_pixel, [], class_names=list("abcd"))
