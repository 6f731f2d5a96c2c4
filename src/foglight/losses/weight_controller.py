"""A small network that gives every class at every position a weight, from what another network says there.

beta = (beta_max - beta_min) * sigmoid(MLP(omega)) + beta_min,  omega = [p, H(p)] per position, p = softmax_c(z)

Symbols: z logits at temperature 1 (b k *grid), H entropy in nats, omega (k + 1, or k, or 1 numbers), beta (b k *grid).
Source: LIX (arXiv 2403.08215), eq. 6-8: three layers, no dropout, beta in [1, 10]. Its "confidence" -p log p is the
entropy. Width, activation and initialisation are not stated: 64, ReLU, and torch's own with a last layer of zeros, so
that every weight starts in the middle of its range.
Cost: about k*h + (depth - 2)*h^2 + h*k parameters, h hidden; b*n*(2*h*(depth - 1) + 2*k) numbers for n positions, at
most BUDGET bytes of which are held at once (the rest is computed again in the backward pass).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from foglight.functional.entropy import entropy
from foglight.functional.masking import at_label

# Bytes of activations that are kept for the backward pass; maps on the head's grid fit in.
BUDGET: Final = 64 * 2**20
# In percent, of the nearest rank.
QUANTILES: Final = (10, 50, 90)

Omega = Literal["both", "probability", "entropy"]


def omega_of(log_probability: Float[Tensor, "b k *grid"], omega: Omega) -> Float[Tensor, "b m *grid"]:
    """What the controller reads of a distribution.

    >>> omega_of(torch.tensor([[0.5, 0.5]]).log(), "both")
    tensor([[0.5000, 0.5000, 0.6931]])
    """
    match omega:
        case "probability":
            return log_probability.exp()
        case "entropy":
            return entropy(log_probability)
        case "both":
            return torch.cat([log_probability.exp(), entropy(log_probability)], dim=1)


def mean_over_others(values: Float[Tensor, "b k *grid"], label: Int[Tensor, "b *grid"]) -> Float[Tensor, "b 1 *grid"]:
    """The mean over all classes but the label's.

    >>> mean_over_others(torch.tensor([[9.0, 1.0, 3.0]]), torch.tensor([0]))
    tensor([[2.]])
    """
    return (values.sum(dim=1, keepdim=True) - at_label(values, label)) / (values.shape[1] - 1)


def budget_scale(
    per_pixel: Float[Tensor, "b 1 *grid"], valid: Bool[Tensor, "b *grid"], *, budget: float
) -> Float[Tensor, ""]:
    """What makes the mean of these weights over the valid pixels the budget; one where no pixel is valid.

    >>> budget_scale(torch.tensor([[1.0], [3.0]]), torch.tensor([True, True]), budget=4.0)
    tensor(2.)
    """
    total = torch.where(valid.unsqueeze(1), per_pixel, 0.0).sum()
    return torch.where(total > 0, budget * valid.sum() / torch.where(total > 0, total, 1.0), 1.0)


def beta_figures(beta: Float[Tensor, " n"]) -> dict[str, float]:
    """Mean, standard deviation (population form) and quantiles; nothing of no numbers, or of any that is not finite.

    >>> beta_figures(torch.tensor([1.0, 3.0]))["beta_sd"]
    1.0
    """
    if beta.numel() == 0 or not bool(torch.isfinite(beta).all()):
        return {}
    # Not torch.quantile, which refuses more than 2^24 numbers: eight label grids of 1024 x 2048 are as many.
    ordered = beta.sort().values
    figures = {"beta_mean": beta.mean().item(), "beta_sd": beta.std(correction=0).item()}
    for quantile in QUANTILES:
        figures[f"beta_q{quantile}"] = ordered[round(quantile / 100 * (len(ordered) - 1))].item()
    return figures


@final
class WeightController(nn.Module):
    """Weights per class and position, in (beta_min, beta_max).

    Args:
        classes: k.
        omega: probabilities, entropy, or both.
        hidden: units of every layer but the last.
        depth: number of layers, 1 to 5.
        dropout: rate after every hidden layer, in training.
        beta_min: smallest weight.
        beta_max: largest weight.
        start_even: the last layer starts with zeros.

    Raises:
        ValueError: if the depth, the rate or the range makes no sense.
    """

    def __init__(
        self,
        classes: int,
        *,
        omega: Omega = "both",
        hidden: int = 64,
        depth: int = 3,
        dropout: float = 0.0,
        beta_min: float = 1.0,
        beta_max: float = 10.0,
        start_even: bool = True,
    ) -> None:
        super().__init__()
        if not 1 <= depth <= 5 or hidden < 1:
            raise ValueError(f"expected depth from 1 to 5 and hidden >= 1, got {depth} and {hidden}")
        if not 0 <= dropout < 1 or not 0 <= beta_min <= beta_max:
            raise ValueError(
                f"expected dropout in [0, 1) and 0 <= beta_min <= beta_max, got {dropout}, {beta_min} and {beta_max}"
            )
        inputs = {"both": classes + 1, "probability": classes, "entropy": 1}[omega]
        widths = [inputs, *[hidden] * (depth - 1), classes]
        self.layers = nn.ModuleList(nn.Linear(old, new) for old, new in pairwise(widths))
        if start_even:
            for parameter in self.layers[-1].parameters():
                nn.init.zeros_(parameter)
        self.omega: Omega = omega
        self.hidden = hidden
        self.dropout = dropout
        self.beta_min = beta_min
        self.beta_max = beta_max

    def uniform_shapes(self, positions: int) -> dict[str, tuple[int, ...]]:
        """The random numbers in [0, 1) that dropout wants in training; none without dropout."""
        if not (self.training and self.dropout):
            return {}
        return {f"dropout_{index}": (positions, self.hidden) for index in range(len(self.layers) - 1)}

    def forward(
        self, log_probability: Float[Tensor, "b k *grid"], uniforms: Sequence[Float[Tensor, "n hidden"]] = ()
    ) -> Float[Tensor, "b k *grid"]:
        """The weights, on the same grid.

        Args:
            log_probability: of the network that is read.
            uniforms: what `uniform_shapes` asks for, in its order.
        """
        inputs = omega_of(log_probability, self.omega).movedim(1, -1)
        rows = inputs.reshape(-1, inputs.shape[-1])
        kept = rows.element_size() * (
            2 * self.hidden * (len(self.layers) - 1) + rows.shape[1] + log_probability.shape[1]
        )
        step = max(BUDGET // kept, 1)
        if len(rows) <= step:
            weights = self._rows(rows, *uniforms)
        else:
            weights = torch.cat(
                [
                    # Nothing is drawn inside, so no random state needs keeping.
                    checkpoint(self._rows, *parts, use_reentrant=False, preserve_rng_state=False)
                    for parts in zip(*(values.split(step) for values in (rows, *uniforms)), strict=True)
                ]
            )
        return weights.reshape(*inputs.shape[:-1], -1).movedim(-1, 1)

    def _rows(self, rows: Tensor, *uniforms: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers[:-1]):
            rows = layer(rows).relu()
            if uniforms:
                rows = torch.where(uniforms[index] < self.dropout, 0.0, rows / (1 - self.dropout))
        return (self.beta_max - self.beta_min) * self.layers[-1](rows).sigmoid() + self.beta_min
