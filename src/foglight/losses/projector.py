"""Two pointwise layers that bring a student's feature into the teacher's space before the two are contrasted.

f' = W2 relu(BN(W1 f)) at every position, W1 of shape (teacher channels, student channels), W2 square.

Shapes: b batch, c and d channels of the two networks, h w any grid.
Source: CIRKD `losses/cirkd.py::StudentSegContrast.project_head` @ dab64db.
Changed: an ordinary BatchNorm (convert it with `nn.SyncBatchNorm.convert_sync_batchnorm` where that is wanted), published
code has SyncBatchNorm built in and fails on a CPU; one value per channel is normalised by the running statistics.
Cost: c*d + d*d + 2*d parameters; four maps of d channels are kept for the backward pass.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


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
        self.norm = nn.BatchNorm2d(projected)
        self.leave = nn.Conv2d(projected, projected, kernel_size=1, bias=False)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The projected feature, on the same grid."""
        hidden: Tensor = self.enter(feature)
        return self.leave(F.relu(self._normalise(hidden), inplace=True))

    def _normalise(self, hidden: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        if hidden.numel() > hidden.shape[1]:
            return self.norm(hidden)
        # One value per channel has no variance; torch raises there in training.
        mean, variance = self.norm.running_mean, self.norm.running_var
        return F.batch_norm(hidden, mean, variance, self.norm.weight, self.norm.bias, eps=self.norm.eps)
