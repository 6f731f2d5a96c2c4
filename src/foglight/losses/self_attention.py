"""Self-attention over the positions of a map, added with a learned share that starts at zero.

y_i = x_i + gamma * sum_j softmax_j(q_i . k_j) v_j,  q, k, v linear in x

Symbols: x (b c h w), q and k of c / 8 channels, v of c, i and j over the h w positions; no scaling of the products.
Source: Zhang et al. 2019, "Self-attention generative adversarial networks", eq. 1-3; CIRKD `utils/sagan.py::Self_Attn`
@ 2d8ad0f.
Changed: nothing. Written out, for the gradient penalty differentiates it twice.
Cost: b (h w)^2 numbers.
"""

from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Channels of x per channel of q and k.
REDUCTION: Final = 8


@final
class SelfAttention(nn.Module):
    """Every position reads every other.

    Args:
        channels: c, at least 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // REDUCTION, kernel_size=1)
        self.key = nn.Conv2d(channels, channels // REDUCTION, kernel_size=1)
        self.value = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The map with what its positions read."""
        query, key, value = (project(values).flatten(2) for project in (self.query, self.key, self.value))
        share = torch.softmax(query.transpose(1, 2) @ key, dim=2)
        read = value @ share.transpose(1, 2)
        return self.gamma * read.view_as(values) + values
