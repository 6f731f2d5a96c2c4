"""Cross-entropy at the label's grid from logits at the head's, without ever holding the upsampled logits.

l[i] = -log softmax_c((U z)[:, i])[y_i];  dL/dz = U' (g * (q - onehot(y)))

Symbols: z logits (b k h w), U the bilinear resize and ' its transpose, see `upsampling`; y legal labels (b H W), q
softmax of the upsampled logits, g the gradient that arrives per pixel (b H W).
Changed: nothing but the order of sums: strips of rows are upsampled, used and dropped, and again in the backward pass.
Cost: one strip, and one image's map at (h, W), in place of three maps of b*k*H*W.
"""

from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from foglight.functional.upsampling import Upsampling, upsampling

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
    cut = upsampling(logits, (height, width), align_corners=align_corners, matrices=MATRICES)
    values: Tensor = _UpsampledCrossEntropy.apply(logits, label.long(), cut)
    return values


class _UpsampledCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, cut: Upsampling) -> Tensor:
        ctx.save_for_backward(logits, label)
        ctx.cut = cut
        values = logits.new_empty(label.shape)
        for image, classes, value in zip(logits, label.unsqueeze(2), values, strict=True):
            wide = cut.widened(image)
            for strip in cut.strips:
                log_probability = torch.log_softmax(strip.upsample(wide), dim=1)
                value[strip.where] = -log_probability.gather(1, classes[strip.where]).squeeze(1)
        return values

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        (gradient,) = grad_outputs
        logits, label = ctx.saved_tensors
        # Whoever asks for the gradient may do so under autocast, which would upsample in half precision.
        with torch.autocast(logits.device.type, enabled=False):
            each = zip(logits, label.unsqueeze(2), gradient.unsqueeze(2), strict=True)
            return torch.stack([_slope(*of_image, ctx.cut) for of_image in each]), None, None


def _slope(
    logits: Float[Tensor, "k h w"], label: Int[Tensor, "H 1 W"], arriving: Float[Tensor, "H 1 W"], cut: Upsampling
) -> Float[Tensor, "k h w"]:
    """Of one image; itself differentiable."""
    wide = cut.widened(logits)
    total = torch.zeros_like(wide)
    for strip in cut.strips:
        given = arriving[strip.where]
        slope = torch.softmax(strip.upsample(wide), dim=1) * given
        strip.add_transposed(slope.scatter_add_(1, label[strip.where], -given), total)
    return cut.narrowed(total)
