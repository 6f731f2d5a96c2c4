"""Two pointwise layers that bring a student's feature into the teacher's space before the two are contrasted.

f' = W2 relu(BN(W1 f)) at every position, W1 of shape (teacher channels, student channels), W2 square.

Shapes: b batch, c and d channels of the two networks, h w any grid.
Source: CIRKD `losses/cirkd_memory.py::StudentSegContrast.project_head` @ dab64db.
Changed: an ordinary BatchNorm, for `nn.SyncBatchNorm.convert_sync_batchnorm` to convert where that is wanted; published
code has SyncBatchNorm built in and fails on a CPU.
Cost: c*d + d*d + 2*d parameters; four maps of d channels are kept for the backward pass.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.losses.batch_norm import BatchNorm


@final
class Projector(nn.Module):
    """Convolution, BatchNorm, ReLU, convolution, all of one position.

    Args:
        channels: of the input.
        projected: channels of the output.
    """

    def __init__(self, channels: int, projected: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, projected, kernel_size=1, bias=False)
        self.norm = BatchNorm(projected)
        self.leave = nn.Conv2d(projected, projected, kernel_size=1, bias=False)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The projected feature, on the same grid."""
        return self.leave(F.relu(self.norm(self.enter(feature)), inplace=True))
