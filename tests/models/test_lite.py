"""Does the lite family train from scratch, and does it take the images it is given?"""

import pytest
import torch
from torch.nn import functional

from foglight.errors import ConfigurationError
from foglight.models.registry import build_module
from foglight.models.taps import recorded


def toy_scenes(generator: torch.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images with one bright square each, and where it is."""
    image = 0.3 * torch.randn(count, 3, 32, 32, generator=generator)
    label = torch.zeros(count, 32, 32, dtype=torch.long)
    for i, (y, x) in enumerate(torch.randint(0, 20, (count, 2), generator=generator).tolist()):
        image[i, 0, y : y + 12, x : x + 12] += 1
        label[i, y : y + 12, x : x + 12] = 1
    return image, label


def test_lite_s_learns_in_sixty_steps() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    network = build_module("lite_s", num_classes=2, options={}).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses: list[float] = []
    for _ in range(60):
        image, label = toy_scenes(generator, 4)
        logits, _ = network(image, None, auxiliary=False)
        loss = functional.cross_entropy(
            functional.interpolate(logits, (32, 32), mode="bilinear", align_corners=True), label
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.35 * sum(losses[:5])


@pytest.mark.parametrize("name", ["lite_s", "lite_m", "lite_l"])
def test_shapes_and_taps_on_an_odd_image(name: str) -> None:
    network = build_module(name, num_classes=5, options={}).eval()
    with recorded(network, list(network.tap_names)) as features:
        logits, auxiliary = network(torch.rand(1, 3, 65, 97), None, auxiliary=True)
    assert logits.shape == (1, 5, 17, 25)
    assert auxiliary == ()
    assert set(features) == set(network.tap_names)
    assert [tuple(features[f"layer{i}"].shape[2:]) for i in (1, 2, 3, 4)] == [(33, 49), (17, 25), (9, 13), (5, 7)]
    assert all(torch.equal(features[f"layer{i}"], features[f"stage{i}"]) for i in (1, 2, 3, 4))


def test_every_stage_and_the_context_reach_the_logits() -> None:
    network = build_module("lite_s", num_classes=3, options={"dropout": 0.0}).train()
    network(torch.rand(2, 3, 32, 32), None, auxiliary=False)[0].square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_a_single_training_image_is_welcome() -> None:
    network = build_module("lite_s", num_classes=3, options={}).train()
    assert network(torch.rand(1, 3, 32, 32), None, auxiliary=False)[0].isfinite().all()


def test_extra_channels_are_read_and_their_absence_is_refused() -> None:
    torch.manual_seed(0)
    network = build_module("lite_s", num_classes=3, options={"extra_channels": 1}).eval()
    image, depth = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)
    near, _ = network(image, depth, auxiliary=False)
    far, _ = network(image, depth + 1, auxiliary=False)
    assert not torch.equal(near, far)
    assert network.extra_channels == 1
    for wrong, got in ((None, 0), (torch.rand(1, 2, 32, 32), 2)):
        with pytest.raises(ConfigurationError, match=f"expected 1 extra channels beside the image, got {got}"):
            network(image, wrong, auxiliary=False)


def test_a_network_of_colour_images_does_not_look_at_the_extra_channels() -> None:
    network = build_module("lite_s", num_classes=3, options={}).eval()
    image = torch.rand(1, 3, 32, 32)
    with_extra, without = (network(image, e, auxiliary=False)[0] for e in (torch.rand(1, 1, 32, 32), None))
    assert torch.equal(with_extra, without)


def test_the_dropout_rate_is_an_option() -> None:
    network = build_module("lite_s", num_classes=3, options={"dropout": 0.4})
    assert network.get_submodule("head.dropout").p == 0.4
