"""A class distribution taken apart: how sure it is of the labelled class, and how it ranks the others.

o = z_y / tau - log sum_{c != y} exp(z_c / tau)            log odds of the labelled class: p_y = sigmoid(o)
n[c] = z_c / tau - log sum_{j != y} exp(z_j / tau)         log-probability of c among the classes that are not y
KL(t || s) = kl(sigmoid(o_T) || sigmoid(o_S)) + (1 - t_y) * sum_{c != y} exp(n_T) * (n_T - n_S)

Symbols: z logits (b k *grid), y legal labels (b *grid), tau temperature, o (b 1 *grid), n (b k *grid).
Source: Zhao et al. 2022, "Decoupled knowledge distillation", eq. 1-7.
Changed: log odds and log-softmax; published code takes logarithms of sums of probabilities, which gives infinities at a
logit gap of about 120, and builds two one-hot masks.
Cost: two maps of the size of z per network.
"""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.tempered import tempered

# The labelled class among the others: finite, so that its probability of exactly zero times a difference is zero, and a
# quarter of the smallest number, so that no such difference overflows.
EXCLUDED: Final = 0.25


def split_target(
    logits: Float[Tensor, "b k *grid"], label: Int[Tensor, "b *grid"], *, temperature: float = 1.0
) -> tuple[Float[Tensor, "b 1 *grid"], Float[Tensor, "b k *grid"]]:
    """The log odds of the labelled class, and the log-probabilities of all classes once it is ruled out.

    >>> odds, others = split_target(torch.tensor([[6.0, 1.0, 1.0]]).log(), torch.tensor([0]))
    >>> odds.sigmoid(), others.exp()
    (tensor([[0.7500]]), tensor([[0.0000, 0.5000, 0.5000]]))
    """
    scaled = tempered(logits, temperature)
    index = label.unsqueeze(1).long()
    rest = scaled.scatter(1, index, EXCLUDED * torch.finfo(scaled.dtype).min)
    return scaled.gather(1, index) - torch.logsumexp(rest, dim=1, keepdim=True), torch.log_softmax(rest, dim=1)


def target_kl(student: Float[Tensor, "b 1 *grid"], teacher: Float[Tensor, "b 1 *grid"]) -> Float[Tensor, "b 1 *grid"]:
    """kl(teacher || student) of two coins with these log odds.

    >>> target_kl(torch.zeros(1, 1), torch.zeros(1, 1)).item()
    0.0
    """
    teacher = teacher.detach()
    hit = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    return hit + (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
