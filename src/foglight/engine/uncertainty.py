"""Maps of how uncertain a network is of an image: sigma, entropy and mutual information under dropout.

Every pass is a whole prediction as `EvaluateSettings` say it (windows, mirrored views, scales, calibration), so that
the maps belong to the prediction beside them; the equations stand in `functional.predictive_uncertainty`. Without an
active dropout all passes are one: the entropy is the network's own, sigma and mutual information are refused.
Cost: T passes; of one whole view only what follows the first dropout is run again.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.engine.evaluate import AnyNetwork, EvaluateSettings, log_probabilities_at, predict
from foglight.errors import ConfigurationError
from foglight.functional.predictive_uncertainty import PredictiveUncertainty, RunningUncertainty
from foglight.types import derive_seed

Uncertainty = Literal["sigma", "entropy", "mutual-information"]
UNCERTAINTIES: Final[tuple[Uncertainty, ...]] = get_args(Uncertainty)
# Neither exists without dropout.
_SPREADS: Final = ("sigma", "mutual-information")
PASSES: Final = 20


def require_dropout(network: AnyNetwork, wanted: Collection[Uncertainty]) -> None:
    """Refuse maps that would be zero everywhere.

    Raises:
        ConfigurationError: for sigma or mutual information of a network without an active dropout.
    """
    spreads = [kind for kind in _SPREADS if kind in wanted]
    if spreads and not network.active_dropouts():
        raise ConfigurationError(
            f"{' and '.join(spreads)}: {network.name} has no active dropout, the maps would be zero everywhere",
            remedy="ask for `--uncertainty entropy` alone, or train the network with a dropout rate above 0",
        )


@torch.no_grad()
def predictive_uncertainty(
    network: AnyNetwork,
    image: Float[Tensor, "b 3 H W"],
    extra: Float[Tensor, "b x H W"] | None = None,
    *,
    settings: EvaluateSettings,
    passes: int = PASSES,
) -> PredictiveUncertainty:
    """Of every pixel; the network must be in eval mode.

    Args:
        network: with or without dropout.
        image: red, green, blue in [0, 1].
        extra: further channels.
        settings: how an image is predicted; `mc` is not read.
        passes: T, of a network with an active dropout.
    """
    running = RunningUncertainty()
    if not network.active_dropouts():
        running.add(predict(network, image, extra, settings=replace(settings, mc=0)))
        return running.compute()
    for log_probability in _passes(network, image, extra, settings, passes):
        running.add(log_probability)
    return running.compute()


def _passes(
    network: AnyNetwork, image: Tensor, extra: Tensor | None, settings: EvaluateSettings, passes: int
) -> Iterator[Tensor]:
    if replace(settings, mc=0).one_forward and settings.scales == (1.0,):
        height, width = image.shape[-2:]
        seed = derive_seed(settings.seed, "predictive mean")
        for logits in network.sample_logits(image, extra, passes=passes, seed=seed):
            yield log_probabilities_at(logits, (height, width), network.align_corners, settings)
        return
    for index in range(passes):
        seed = derive_seed(settings.seed, "pass", index)
        yield predict(network, image, extra, settings=replace(settings, mc=1, seed=seed))
