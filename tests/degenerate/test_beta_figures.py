"""Do the figures of beta say how its values lie?"""

import torch

from foglight.losses.logits.dwld import DWLD
from foglight.losses.weight_controller import beta_figures
from foglight.types import Batch, ModelInfo, ModelOutput

INFO = ModelInfo(num_classes=4, stride=1)


def test_mean_spread_and_quantiles_of_known_numbers() -> None:
    values = torch.arange(101.0)[torch.randperm(101, generator=torch.Generator().manual_seed(0))]
    figures = beta_figures(values)
    assert [figures[name] for name in ("beta_mean", "beta_q10", "beta_q50", "beta_q90")] == [50, 10, 50, 90]
    assert abs(figures["beta_sd"] - 850**0.5) < 1e-3


def test_nothing_is_said_of_no_pixels_or_of_infinite_weights() -> None:
    assert not beta_figures(torch.empty(0))
    assert not beta_figures(torch.tensor([1.0, torch.inf]))


def test_a_fixed_beta_has_no_spread_and_ignored_pixels_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 3, generator=generator)
    label = torch.randint(0, 4, (2, 3, 3), generator=generator)
    label[0] = 255
    batch = Batch(image=torch.zeros(2, 3, 3, 3), label=label)
    for loss, spread in ((DWLD(INFO, INFO, beta=3.0), False), (DWLD(INFO, INFO, controller="frozen"), True)):
        loss(ModelOutput(logits), ModelOutput(logits.flip(1)), batch)
        figures = loss.statistics().values
        assert (figures["beta_sd"] > 1e-6) == spread
        assert figures["beta_min"] <= figures["beta_q10"] <= figures["beta_q50"] <= figures["beta_q90"]
        # Poisoning the ignored image changes no figure.
        poisoned = logits.clone()
        poisoned[0] = 50 * poisoned[0].flip(0)
        loss(ModelOutput(poisoned), ModelOutput(logits.flip(1)), batch)
        assert loss.statistics().values == figures
    loss(ModelOutput(logits), ModelOutput(logits), Batch(image=batch.image, label=torch.full_like(label, 255)))
    assert not loss.statistics().values
