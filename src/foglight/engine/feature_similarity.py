"""How alike a student's and a teacher's features are, stage by stage, on a few images that never change.

    s_l = CKA(K_S, K_T),  K = X X',   X (n c): the feature of stage l at n positions of all images

The unbiased CKA of linear kernels with positions as examples: it needs no projection and does not change under any
rotation or scale of either side's channels, so a student that was never distilled has a score as well. 1: the same
geometry; 0: none in common; it may be negative.

Source: Nguyen, Raghu & Kornblith 2021, eq. 3; the curves are those of LIX (arXiv 2403.08215v2), figure 5, which does
not say between which representations it measures. ARFD minimises another CKA (recalibrated channels are the examples):
this is not the training loss measured again.
Changed: maps are averaged onto at most GRID positions per image, so that n stays near a thousand.
Cost: one forward of each network in eval mode, and n^2 (c + d) multiply-adds per stage.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foglight.functional.kernels import FEWEST_UNBIASED, linear_cka
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.types import Batch

GRID: Final = (8, 16)
# By preference: some networks count their stages from the stem, others from the first pooling, and some both ways.
STAGES: Final = tuple(tuple(f"{word}{number}" for number in (1, 2, 3, 4, 5)) for word in ("stage", "layer"))


def positions_similarity(
    student: Float[Tensor, "b c h w"], teacher: Float[Tensor, "b d p q"], *, grid: tuple[int, int] = GRID
) -> Float[Tensor, ""]:
    """CKA of two features of the same images, over positions of the smaller grid, at most `grid` of them per image.

    >>> feature = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> round(positions_similarity(feature, 3 * feature.flip(1)).item(), 4)
    1.0

    Raises:
        ValueError: with fewer than four positions in all.
    """
    height, width = (min(sides) for sides in zip(student.shape[2:], teacher.shape[2:], grid, strict=True))
    if len(student) * height * width < FEWEST_UNBIASED:
        raise ValueError(f"expected at least {FEWEST_UNBIASED} positions, got {len(student) * height * width}")
    ours, theirs = (
        functional.adaptive_avg_pool2d(feature.float(), (height, width)).permute(0, 2, 3, 1).flatten(0, 2)
        for feature in (student, teacher)
    )
    return linear_cka(ours, theirs, unbiased=True)


@torch.no_grad()
def feature_similarity(student: Network, teacher: Network | Ensemble, batch: Batch) -> dict[str, float]:
    """`cka.STAGE` of every stage that both networks have; nothing where there is none, or the teacher is an ensemble.

    Both networks are run in eval mode and full precision, each where it is, and put back afterwards.
    """
    if not isinstance(teacher, Network):
        return {}
    taps = _shared_stages(student, teacher)
    ours, theirs = _features(student, batch, taps), _features(teacher, batch, taps)
    # A trainer may have half precision on, in which these products come out in steps of a hundredth.
    with torch.autocast("cpu", enabled=False):
        return {f"cka.{tap}": positions_similarity(ours[tap], theirs[tap]).item() for tap in taps}


def _shared_stages(student: Network, teacher: Network) -> tuple[str, ...]:
    known = set(student.info().taps) & set(teacher.info().taps)
    shared = (tuple(name for name in names if name in known) for names in STAGES)
    return next((names for names in shared if names), ())


def _features(network: Network, batch: Batch, taps: tuple[str, ...]) -> dict[str, Tensor]:
    device, was_training = next(network.parameters()).device, network.training
    network.eval()
    try:
        here = batch.to(device)
        with torch.autocast(device.type, enabled=False):
            features = network(here.image, here.extra, taps=frozenset(taps)).features
        return {tap: features[tap].cpu() for tap in taps}
    finally:
        network.train(was_training)
