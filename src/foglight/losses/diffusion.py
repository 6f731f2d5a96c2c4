"""The mathematics of denoising diffusion that DiffKD uses: the schedule, noising, and deterministic sampling.

abar_t = prod_{s <= t} (1 - beta_s), beta linear from 1e-4 to 0.02 over 1000 steps
noising: x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps
sampling (DDIM, eta = 0): x_p = sqrt(abar_p) x0 + sqrt(1 - abar_p) e,  e = phi(x_t, t),
    x0 = (x_t - sqrt(1 - abar_t) e) / sqrt(abar_t), p the next smaller step, abar = 1 after the last

Symbols: x a map (b c h w), eps standard normal noise, phi the denoiser.
Source: Ho et al. 2020, eq. 4; Song et al. 2021 (DDIM), eq. 12. Steps as in hunto/image_classification_sota, DiffKD: of
a grid of 2n over the 1000 steps the lower half, 400, 300, 200, 100, 0 for n = 5.
Cost: n evaluations of phi, all kept for the gradient.
"""

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

STEPS: Final = 1000
FIRST_BETA: Final = 1e-4
LAST_BETA: Final = 0.02

Denoise = Callable[[Tensor, Tensor], Tensor]


def signal_share() -> Float[Tensor, " steps"]:
    """abar_t of every step, in float32 as every public implementation holds it.

    >>> round(signal_share()[-1].item(), 6)
    4e-05
    """
    return torch.cumprod(1 - torch.linspace(FIRST_BETA, LAST_BETA, STEPS, dtype=torch.float32), dim=0)


def sampling_steps(count: int) -> list[int]:
    """The steps that are sampled, latest first.

    Raises:
        ValueError: if there are none, or more than half of all steps.

    >>> sampling_steps(5)
    [400, 300, 200, 100, 0]
    """
    if not 1 <= count <= STEPS // 2:
        raise ValueError(f"expected 1 to {STEPS // 2} inference steps, got {count}; the published number is 5")
    stride = STEPS // (2 * count)
    return [stride * index for index in reversed(range(count))]


def noised(
    clean: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"], share: Float[Tensor, " b"]
) -> Float[Tensor, "b c h w"]:
    """sqrt(abar) x + sqrt(1 - abar) eps, with abar per image."""
    share = share.view(-1, 1, 1, 1)
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def denoised(
    noisy: Float[Tensor, "b c h w"], denoise: Denoise, shares: Float[Tensor, " steps"], *, count: int
) -> Float[Tensor, "b c h w"]:
    """The map after `count` deterministic steps.

    Args:
        noisy: taken as a map at the first sampled step.
        denoise: (map, step of each image) -> noise.
        shares: abar of every step.
        count: n.
    """
    steps = sampling_steps(count)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        at: Int[Tensor, " b"] = torch.full((len(noisy),), step, dtype=torch.long, device=noisy.device)
        noise, share = denoise(noisy, at), shares[step]
        clean = (noisy - (1 - share).sqrt() * noise) / share.sqrt()
        if following is None:
            return clean
        noisy = shares[following].sqrt() * clean + (1 - shares[following]).sqrt() * noise
    return noisy
