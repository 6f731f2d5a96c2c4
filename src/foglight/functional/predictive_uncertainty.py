r"""How uncertain a network is of each class distribution, told from stochastic passes.

    p = (1/T) sum_t q_t                                      the predictive mean
    sigma[c]^2 = (1/T) sum_t (q_t[c] - p[c])^2               in [0, 1/2]
    H[p] = - sum_c p[c] log p[c]                             all of the uncertainty, in [0, log k] nats
    I = H[p] - (1/T) sum_t H[q_t] >= 0                       the part that comes from the weights (mutual information)

Symbols: q_t probabilities "b k *grid" of pass t = 1..T. With one pass p = q_1, and sigma and I are 0.
Source: Gal 2016, section 3.3; Houlsby et al. 2011 for I. Changed: running sums, in memory that does not grow with T;
where rounding makes I negative, it is 0. Cost: four maps, and one exponential per pass.
"""

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.entropy import entropy
from foglight.functional.sampled_sigma import RunningSoftmaxStd


class PredictiveUncertainty(NamedTuple):
    """Of every position.

    Attributes:
        mean: the predictive mean.
        sigma: standard deviation over passes, by class.
        entropy: of the predictive mean, in nats.
        mutual_information: in nats.
    """

    mean: Float[Tensor, "b k *grid"]
    sigma: Float[Tensor, "b k *grid"]
    entropy: Float[Tensor, "b 1 *grid"]
    mutual_information: Float[Tensor, "b 1 *grid"]


@final
class RunningUncertainty:
    """Takes the passes one by one.

    >>> running = RunningUncertainty()
    >>> for undecided in ([[0.99, 0.01]], [[0.01, 0.99]]):
    ...     running.add(torch.tensor(undecided).log())
    >>> [round(float(values[0, 0]), 2) for values in running.compute()]  # sure each time, of something else each time
    [0.5, 0.49, 0.69, 0.64]
    """

    def __init__(self) -> None:
        self._std = RunningSoftmaxStd()
        self._passes = 0
        self._probability: Tensor | None = None
        self._entropy: Tensor | None = None

    @torch.no_grad()
    def add(self, log_probability: Float[Tensor, "b k *grid"]) -> None:
        """One more pass."""
        self._std.add(log_probability)
        self._passes += 1
        probability, own = log_probability.exp(), entropy(log_probability)
        self._probability = probability if self._probability is None else self._probability + probability
        self._entropy = own if self._entropy is None else self._entropy + own

    @torch.no_grad()
    def compute(self) -> PredictiveUncertainty:
        """Of the passes so far.

        Raises:
            ValueError: without any.
        """
        if self._probability is None or self._entropy is None:
            raise ValueError("expected at least one pass, got none")
        mean = self._probability / self._passes
        # A probability of 0 contributes 0; its logarithm alone would make it NaN.
        of_mean = entropy(mean.clamp_min(torch.finfo(mean.dtype).tiny).log())
        information = (of_mean - self._entropy / self._passes).clamp_min(0)
        return PredictiveUncertainty(mean, self._std.std(), of_mean, information)
