"""A convolution whose weight has spectral norm one.

y = conv(x, W / sigma) + bias,  sigma = u^T M v
before that, in training:  v <- M^T u / (||M^T u|| + eps),  u <- M v / (||M v|| + eps)

Symbols: W weight (d c k k), M the same as a matrix (d, c k k), u and v estimates of its first singular vectors; the
gradient of sigma reaches W, u and v have none.
Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks", algorithm 1; the order, v
first, and eps of CIRKD `utils/sagan.py::SpectralNorm` @ 2d8ad0f (torch's own updates u first).
Changed: no update in eval(), where published code goes on; the vectors start converged, published ones are random.
Cost: two products of M with a vector per forward.
"""

from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# Added to a length; published. Keeps a weight of zeros from dividing zero by zero.
ADDED_TO_LENGTH: Final = 1e-12
INITIAL_ITERATIONS: Final = 15


@final
class SpectralConv2d(nn.Module):
    """One power iteration per forward in training.

    Args:
        channels: of the input.
        filters: channels of the output.
        kernel_size: along both axes.
        stride: along both axes.
        padding: zeros on each side.
    """

    left: Float[Tensor, " d"]
    right: Float[Tensor, " ckk"]

    def __init__(self, channels: int, filters: int, *, kernel_size: int = 4, stride: int = 2, padding: int = 1) -> None:
        super().__init__()
        initial = nn.Conv2d(channels, filters, kernel_size)
        assert initial.bias is not None
        self.weight = initial.weight
        self.bias = initial.bias
        self.stride = stride
        self.padding = padding
        self.register_buffer("left", F.normalize(torch.randn(filters), dim=0))
        self.register_buffer("right", F.normalize(torch.randn(channels * kernel_size**2), dim=0))
        for _ in range(INITIAL_ITERATIONS):
            self._power_iteration()

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d rows columns"]:
        """The convolution."""
        if self.training:
            self._power_iteration()
        # Copies, so that the next forward's update leaves this one's graph alone.
        sigma = self.left.clone() @ (self.weight.flatten(1) @ self.right.clone())
        return F.conv2d(values, self.weight / sigma, self.bias, stride=self.stride, padding=self.padding)

    @torch.no_grad()
    def _power_iteration(self) -> None:
        matrix = self.weight.flatten(1)
        self.right.copy_(_direction(matrix.T @ self.left))
        self.left.copy_(_direction(matrix @ self.right))


def _direction(vector: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return vector / (torch.linalg.vector_norm(vector) + ADDED_TO_LENGTH)
