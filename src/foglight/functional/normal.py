"""Standard normal numbers from uniform ones.

z = Phi^-1(u), Phi the cumulative distribution of the standard normal: one uniform number for each normal one, so that
stored noise can be handed in as Phi(noise).

Shapes: any. Cost: one map.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

# Half the distance between two float32 uniforms: 0 is drawn once in 16.8 million numbers and would give -infinity.
HALF_STEP: Final = 2.0**-25


def standard_normal(uniform: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Quantiles of the standard normal; within +-5.4 where the uniform numbers are float32.

    >>> standard_normal(torch.tensor([0.5, 0.0])).tolist()
    [0.0, -5.419983386993408]
    """
    return torch.special.ndtri(uniform.clamp(min=HALF_STEP))
