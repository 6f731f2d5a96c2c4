r"""The standard deviation of the class probability over stochastic passes.

    q_t = softmax(z_t / temperature)        sigma^2 = sum_t (q_t - mean_t q_t)^2 / (T - ddof)

z_t: logits "b k *grid" of pass t = 1..T; sigma: of the same shape, in [0, 1/2] for ddof 0 (of two channels where k = 1,
a binary network).
Source: FOTF, equations 4 and 5 (population form); no public implementation is known.
Changed: Welford's running form, which holds two maps instead of T and gives exactly zero for equal passes, so that a
weight of sigma is then exactly one. Without gradient: a gradient through sigma would reward lowering it.
Cost: one softmax and five elementwise operations per pass.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.binary import at_least_two_classes


@final
class RunningSoftmaxStd:
    """Takes the passes one by one and keeps a running mean and a running sum of squared deviations.

    Args:
        temperature: of the softmax.
    """

    def __init__(self, *, temperature: float = 1.0) -> None:
        self._temperature = temperature
        self._passes = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    @torch.no_grad()
    def add(self, logits: Float[Tensor, "b k *grid"]) -> None:
        """One more pass; a single logit is split into the two classes that it means."""
        probability = (at_least_two_classes(logits.detach()) / self._temperature).softmax(dim=1)
        self._passes += 1
        if self._mean is None or self._squares is None:
            self._mean, self._squares = probability.clone(), torch.zeros_like(probability)
            return
        deviation = probability - self._mean
        self._mean += deviation / self._passes
        self._squares += deviation * (probability - self._mean)

    @torch.no_grad()
    def std(self, *, ddof: int = 0) -> Float[Tensor, "b classes *grid"]:
        """Sigma of the passes so far; ddof 0 divides by T, 1 by T - 1.

        Raises:
            ValueError: with fewer than ddof + 1 passes.
        """
        if self._squares is None or self._passes <= ddof:
            raise ValueError(f"expected at least {ddof + 1} passes for ddof {ddof}, got {self._passes}; raise `passes`")
        # The two factors of a summand may differ in sign by a rounding; a square root of that would be NaN.
        return (self._squares.clamp_min(0) / (self._passes - ddof)).sqrt()


def softmax_std(
    logits: Float[Tensor, "t b k *grid"], *, ddof: int = 0, temperature: float = 1.0
) -> Float[Tensor, "b classes *grid"]:
    """Sigma of T stacked passes.

    Raises:
        ValueError: with fewer than ddof + 1 passes.

    >>> certain, undecided = torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]])
    >>> softmax_std(torch.stack([certain, undecided]))
    tensor([[0.5000, 0.5000]])
    """
    running = RunningSoftmaxStd(temperature=temperature)
    for one_pass in logits:
        running.add(one_pass)
    return running.std(ddof=ddof)
