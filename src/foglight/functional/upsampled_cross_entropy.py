"""Cross-entropy at the label's grid from logits at the head's, without ever holding the upsampled logits.

l[i] = -log softmax_c((U z)[:, i])[y_i];  dL/dz = U' (g * (q - onehot(y)))

Symbols: z logits (b k h w), U the bilinear resize and ' its transpose, see `upsampling`; y legal labels (b H W), q
softmax of the upsampled logits, g the gradient that arrives per pixel (b H W).
Changed: nothing but the order of sums: strips of rows are upsampled, used and dropped, and again in the backward pass.
Cost: one strip in place of three maps of b*k*H*W; on one CPU core about a third of the time.
"""

from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from foglight.functional.upsampling import Strip, strips

# The upsampled logits and their softmax.
MATRICES: Final = 2


def upsampled_cross_entropy(
    logits: Float[Tensor, "b k h w"], label: Int[Tensor, "b H W"], *, align_corners: bool
) -> Float[Tensor, "b H W"]:
    """-log q[y] of every pixel of the label's grid, with y legal everywhere.

    >>> upsampled_cross_entropy(torch.zeros(1, 4, 1, 1), torch.tensor([[[0, 3]]]), align_corners=True)
    tensor([[[1.3863, 1.3863]]])
    """
    height, width = label.shape[1:]
    cut = strips(logits, (height, width), align_corners=align_corners, matrices=MATRICES)
    values: Tensor = _UpsampledCrossEntropy.apply(logits, label.long(), cut)
    return values


class _UpsampledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, cut: list[Strip]) -> Tensor:
        ctx.save_for_backward(logits, label)
        ctx.cut = cut
        values = logits.new_empty(label.shape)
        for strip in cut:
            log_probability = torch.log_softmax(strip.upsample(logits), dim=1)
            values[:, strip.where] = -log_probability.gather(1, label[:, None, strip.where]).squeeze(1)
        return values

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        (gradient,) = grad_outputs
        logits, label = ctx.saved_tensors
        total = torch.zeros_like(logits)
        for strip in ctx.cut:
            arriving = gradient[:, None, strip.where]
            slope = torch.softmax(strip.upsample(logits), dim=1) * arriving
            slope.scatter_add_(1, label[:, None, strip.where], -arriving)
            strip.add_transposed(slope, total)
        return total, None, None
