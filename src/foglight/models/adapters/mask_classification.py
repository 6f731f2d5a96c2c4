"""Mask classification (MaskFormer, Mask2Former, EoMT) as logits of every pixel.

    z_c(x) = log sum_q p_q(c) m_q(x)  -  log sum_c' sum_q p_q(c') m_q(x),    c, c' among the k classes

Symbols: p_q softmax over k classes and "void" of query q, m_q(x) sigmoid of its mask; q queries, h w the masks' grid.
Source: Cheng et al., Per-pixel classification is not all you need (NeurIPS 2021), section 3.4, semantic inference.
Changed: void is dropped and the rest renormalised, so that softmax(z) is a distribution that losses and calibration can
read; computed in log-space around the largest factor of each class and of each pixel, floored at the smallest normal
float32. Cost: one matrix product of k x q by q x hw.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def pixel_log_probability(
    class_logits: Float[Tensor, "b q classes_and_void"], mask_logits: Float[Tensor, "b q h w"]
) -> Float[Tensor, "b k h w"]:
    """Normalised log-probabilities; the last channel of the class logits is void.

    >>> classes = torch.tensor([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])
    >>> masks = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])
    >>> pixel_log_probability(classes, masks).exp().round()[0, :, 0]
    tensor([[1., 0.],
            [0., 1.]])
    """
    classes = class_logits.float().log_softmax(-1)[..., :-1]
    masks = F.logsigmoid(mask_logits.float()).flatten(2)
    largest_class, largest_mask = classes.amax(1, keepdim=True), masks.amax(1, keepdim=True)
    product = (classes - largest_class).exp().transpose(1, 2) @ (masks - largest_mask).exp()
    joint = product.clamp(min=torch.finfo(product.dtype).tiny).log() + largest_class.transpose(1, 2) + largest_mask
    return joint.log_softmax(1).unflatten(2, mask_logits.shape[2:])
