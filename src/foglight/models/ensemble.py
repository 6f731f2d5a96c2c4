"""Several networks that answer as one: the mean of their probabilities.

    p = 1/n sum_i softmax(z_i),   logits = log p,   sigma = sqrt(sum_i sigma_i^2) / n

The members' dropout masks are independent, so the variance of the mean is the sum of variances over n^2.
Symbols: z_i logits of member i, on the first member's grid. Source: Lakshminarayanan et al. 2017, section 2.4.
Cost: the sum of its members'.
"""

from collections.abc import Collection, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import UserError
from foglight.functional.resize import resize
from foglight.models.network import Network
from foglight.types import DropoutInfo, ModelInfo, ModelOutput, SigmaRequest, derive_seed


def mean_log_probability(logits: Sequence[Float[Tensor, "b k *grid"]]) -> Float[Tensor, "b k *grid"]:
    """The logarithm of the mean softmax, in log-space.

    >>> mean_log_probability([torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -100.0]])]).exp()
    tensor([[0.7500, 0.2500]])
    """
    stacked = torch.stack([one.log_softmax(1) for one in logits])
    return stacked.logsumexp(0) - torch.log(stacked.new_tensor(len(logits)))


@final
class Ensemble(nn.Module):
    """A teacher made of several networks; it has no features, for its members have different ones.

    Args:
        members: at least one; all with the same classes.

    Raises:
        ValueError: for no member, or members with different numbers of classes.
    """

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        if len({member.num_classes for member in members}) != 1:
            counts = [member.num_classes for member in members]
            raise ValueError(f"expected members with the same number of classes, got {counts}")
        self.members = list(members)
        self._registered = nn.ModuleList(members)
        self.num_classes = members[0].num_classes
        self.name = " + ".join(member.name for member in members)

    def forward(
        self,
        image: Float[Tensor, "b 3 H W"],
        extra: Float[Tensor, "b x H W"] | None = None,
        *,
        taps: Collection[str] = (),
        sigma: Collection[SigmaRequest] = (),
        label_size: tuple[int, int] | None = None,
        seed: int = 0,
        auxiliary: bool = False,
    ) -> ModelOutput:
        """The same call as a Network's; auxiliary heads are not averaged.

        Raises:
            UserError: for taps, and for a sigma at the head's grid of members with different grids.
        """
        if taps:
            raise UserError(f"the ensemble {self.name} has no taps, got {sorted(taps)}", remedy="name a single teacher")
        said = [
            member(image, extra, sigma=sigma, label_size=label_size, seed=derive_seed(seed, "member", index))
            for index, member in enumerate(self.members)
        ]
        spread = {request: self._joint([one.sigma[request] for one in said]) for request in sigma}
        return ModelOutput(self._mean([one.logits for one in said]), sigma=spread)

    def sample_logits(
        self,
        image: Float[Tensor, "b 3 H W"],
        extra: Float[Tensor, "b x H W"] | None = None,
        *,
        passes: int,
        seed: int = 0,
    ) -> list[Float[Tensor, "b k h w"]]:
        """Logits of T stochastic passes, in each of which every member draws once."""
        drawn = [
            member.sample_logits(image, extra, passes=passes, seed=derive_seed(seed, "member", index))
            for index, member in enumerate(self.members)
        ]
        return [self._mean(one_pass) for one_pass in zip(*drawn, strict=True)]

    @property
    def align_corners(self) -> bool:
        """How the logits are resized: the first member's way."""
        return self.members[0].align_corners

    def info(self, size: tuple[int, int] = (64, 64), taps: Collection[str] = ()) -> ModelInfo:
        """The first member's, without taps."""
        first = self.members[0].info(size)
        return ModelInfo(first.num_classes, first.stride, {}, first.align_corners, self.active_dropouts())

    def active_dropouts(self) -> tuple[DropoutInfo, ...]:
        """The first member's."""
        return self.members[0].active_dropouts()

    def _mean(self, logits: Sequence[Tensor]) -> Tensor:
        grid = logits[0].shape[2:]
        resized = [
            resize(one, grid, align_corners=member.align_corners)
            for one, member in zip(logits, self.members, strict=True)
        ]
        return mean_log_probability(resized)

    def _joint(self, sigmas: Sequence[Tensor]) -> Tensor:
        if len({sigma.shape for sigma in sigmas}) != 1:
            raise UserError(
                f"the members of {self.name} have different grids, so their sigmas cannot be joined at the head",
                remedy="set grid: label",
            )
        return torch.stack(list(sigmas)).square().sum(0).sqrt() / len(sigmas)
