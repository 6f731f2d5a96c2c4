"""Receptive tokens: learned vectors that each light up the region of a map whose pixels resemble them.

M[n, i] = sigmoid(sum_c E[n, c] x[c, i]);  pi = softmax_n(A2 mean_i (A1 x)[i]), or 1 for every token
masked: y[c, i] = sum_n pi[n] M[n, i] x[c, i];  diversity: mean over n != m of 2 <M_n, M_m> / (|M_n|^2 + |M_m|^2 + 2 e)

Symbols: x the teacher's feature or logits (b c *grid), E tokens (n c), M masks (b n *grid), pi weights of tokens (b n),
A1 a 3x3 and A2 a 1x1 convolution, <,> a sum over positions i, e = NORM_GUARD.
Source: Huang et al. 2023, "Masked distillation with receptive tokens", section 3; public code hunto/MasKD @ b5af34f.
Changed: a single token has diversity 0; published code divides by zero pairs.
Cost: n*c parameters, with weights of tokens 9*c^2 + n*c more; n maps of one channel.
"""

from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Small enough that every mask is near 1/2 at the start; the published deviation of the initial tokens.
INITIAL_DEVIATION: Final = 0.01
# Keeps the Dice coefficient of two empty masks at zero; the published constant.
NORM_GUARD: Final = 1e-12


def token_masks(feature: Float[Tensor, "b c *grid"], tokens: Float[Tensor, "n c"]) -> Float[Tensor, "b n *grid"]:
    """How much every position resembles every token, in (0, 1).

    >>> token_masks(torch.zeros(1, 3, 2), torch.ones(1, 3))
    tensor([[[0.5000, 0.5000]]])
    """
    return torch.sigmoid(torch.einsum("nc,bc...->bn...", tokens, feature))


def mask_diversity(masks: Float[Tensor, "b n *grid"]) -> Float[Tensor, ""]:
    """Mean Dice coefficient of two different masks of an image, in [0, 1]: 1 where all are the same.

    >>> mask_diversity(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])).item()
    0.0
    """
    images, tokens = masks.shape[:2]
    flat = masks.reshape(images, tokens, -1)
    products = flat @ flat.mT
    norms = products.diagonal(dim1=1, dim2=2)
    dice = 2 * products / (norms.unsqueeze(1) + norms.unsqueeze(2) + 2 * NORM_GUARD)
    pairs = max(tokens * (tokens - 1), 1)
    return (dice.sum() - dice.diagonal(dim1=1, dim2=2).sum()) / (images * pairs)


@final
class ReceptiveTokens(nn.Module):
    """Tokens, and weights of tokens where these are wanted; as a module it replaces a feature by the masked one.

    Args:
        tokens: how many.
        channels: of the map.
        weighted: learn how much each token counts for an image.

    Attributes:
        learned: whether an adaptation stage has begun to train them; travels with the state.
    """

    learned: Tensor

    def __init__(self, tokens: int, channels: int, *, weighted: bool) -> None:
        super().__init__()
        if tokens < 1:
            raise ValueError(f"expected at least one token, got {tokens}; the published number is 8")
        self.vectors = nn.Parameter(INITIAL_DEVIATION * torch.randn(tokens, channels))
        self.local = nn.Conv2d(channels, channels, kernel_size=3, padding=1) if weighted else None
        self.vote = nn.Linear(channels, tokens) if weighted else None
        self.register_buffer("learned", torch.zeros((), dtype=torch.bool))
        self._diversity: Float[Tensor, ""] | None = None

    def masks(self, feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b n *grid"]:
        """How much every position resembles every token."""
        return token_masks(feature, self.vectors)

    def weights(self, feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b n"] | None:
        """How much each token counts, with sum 1 per image; None where tokens have no weights."""
        if self.local is None or self.vote is None:
            return None
        feature = feature if feature.ndim == 4 else feature.reshape(*feature.shape[:2], -1, 1)
        return torch.softmax(self.vote(self.local(feature).mean((2, 3))), dim=1)

    def forward(self, feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        """The masked feature, in the type of the feature; how alike the masks were is kept for `take_diversity`."""
        values = feature.to(self.vectors.dtype)
        masks, weights = self.masks(values), self.weights(values)
        # Whoever adapts sees only what the network says after the mask, from which the masks cannot be told again.
        self._diversity = mask_diversity(masks)
        if weights is not None:
            masks = masks * weights.view(*weights.shape, *(1 for _ in masks.shape[2:]))
        return (masks.sum(1, keepdim=True) * values).to(feature.dtype)

    def take_diversity(self) -> Float[Tensor, ""]:
        """How alike the masks of the last forward were, handed out once.

        Raises:
            ValueError: if there was no forward since it was last taken.
        """
        if self._diversity is None:
            raise ValueError("expected the tokens to have masked a feature before, got none; run the teacher first")
        diversity, self._diversity = self._diversity, None
        return diversity
