"""The standard deviation of a softmax under dropout before a linear classifier, without a single stochastic pass.

Inverted dropout e with rate p before z = W(h*e) + a leaves the mean of z unchanged and makes its covariance exact:

    Cov(z_c, z_d) = r sum_k W_ck W_dk s_k,    r = p / (1 - p),    s_k = h_k^2

The margin m_c = log(q_c / (1 - q_c)) is linear in z to first order, and the spread of q_c = sigmoid(m_c) follows by
3-point Gauss-Hermite quadrature (a logit-normal). No class-by-class tensor is formed, with q = softmax(mean z):

    wbar_k = sum_c q_c W_ck,  A_c = r sum_k W_ck^2 s_k,  M_c = r sum_k W_ck wbar_k s_k,  D = r sum_k wbar_k^2 s_k
    sd(m_c) = sqrt(A_c - 2 M_c + D) / (1 - q_c)
    E m_c - m_c = -1/2 [sum_{d != c} q_d A_d / (1 - q_c) - (D - 2 q_c M_c + q_c^2 A_c) / (1 - q_c)^2]

Symbols: b batch, k classes, c channels before the classifier; h features; s their power, "b c *grid"; W "k c".
Source: our own derivation; the paper (FOTF, equation 5) takes T = 5 passes instead, which is an estimate of the same.
Cost: four 1x1 convolutions' worth.
"""

import math
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

_HERMITE_NODE: Final = math.sqrt(3.0)  # of the 3-point rule, whose weights are 1/6, 2/3, 1/6


def logit_variance(
    power: Float[Tensor, "b c *grid"], weight: Float[Tensor, "k c"], *, rate: float
) -> Float[Tensor, "b k *grid"]:
    """The exact variance of each logit.

    >>> logit_variance(torch.tensor([[4.0]]), torch.tensor([[3.0]]), rate=0.5)  # 2 * 3 * {0 or 2}: 0 or 12
    tensor([[36.]])
    """
    flat = power.reshape(power.shape[0], power.shape[1], -1)
    return _odds(rate) * (weight.square() @ flat).reshape(power.shape[0], -1, *power.shape[2:])


def softmax_sigma(
    mean_logits: Float[Tensor, "b k *grid"],
    power: Float[Tensor, "b c *grid"],
    weight: Float[Tensor, "k c"],
    *,
    rate: float,
) -> Float[Tensor, "b k *grid"]:
    """The standard deviation of softmax(z), in [0, 0.5]; exactly zero at rate 0.

    Args:
        mean_logits: the logits without dropout.
        power: the squared features that dropout multiplies.
        weight: of the classifier.
        rate: the probability of a zero.
    """
    # Only differences between classes matter; without their mean the terms that cancel below are smaller.
    weight = weight - weight.mean(0, keepdim=True)
    logits = mean_logits.flatten(2) if mean_logits.ndim > 2 else mean_logits.unsqueeze(2)
    power = _odds(rate) * (power.flatten(2) if power.ndim > 2 else power.unsqueeze(2))
    log_probabilities = logits.log_softmax(1)
    probabilities = log_probabilities.exp()

    mean_weight = weight.T @ probabilities  # wbar, "b c n"
    own = weight.square() @ power  # A
    mixed = weight @ (mean_weight * power)  # M
    shared = (mean_weight.square() * power).sum(1, keepdim=True)  # D
    rest = 1 - probabilities
    margin_variance = (own - 2 * mixed + shared).clamp_min(0) / rest.square()
    others = ((probabilities * own).sum(1, keepdim=True) - probabilities * own) / rest
    mean_of_others = (shared - 2 * probabilities * mixed + probabilities.square() * own) / rest.square()

    # For the likeliest class every line above is a small difference of large terms over a small 1 - q.
    top = probabilities.max(1, keepdim=True).indices  # four times as fast on a CPU as argmax
    among_others = probabilities.scatter(1, top, 0.0)
    top_rest = among_others.sum(1, keepdim=True).clamp_min(torch.finfo(logits.dtype).tiny)  # all mass on one class
    among_others = among_others / top_rest
    others_weight = weight.T @ among_others
    contrast = weight[top.squeeze(1)].movedim(-1, 1) - others_weight
    margin_variance = margin_variance.scatter(1, top, (contrast.square() * power).sum(1, keepdim=True))
    others = others.scatter(1, top, (among_others * own).sum(1, keepdim=True))
    mean_of_others = mean_of_others.scatter(1, top, (others_weight.square() * power).sum(1, keepdim=True))

    # Jensen: a mean varies less than its parts, so that the shift is never positive.
    shift = -0.5 * (others - mean_of_others).clamp_min(0)
    margin = log_probabilities - rest.scatter(1, top, top_rest).log() + shift
    return sigmoid_deviation(margin, margin_variance.sqrt()).reshape(mean_logits.shape)


def sigmoid_deviation(mean: Float[Tensor, "..."], deviation: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The standard deviation of sigmoid(x) for a normal x, by 3-point Gauss-Hermite quadrature.

    >>> round(sigmoid_deviation(torch.tensor(0.0), torch.tensor(0.4)).item(), 3)  # 0.1 to first order
    0.096
    """
    mean = -mean.abs()  # sigmoid(x) and 1 - sigmoid(x) vary alike, and near zero floating point resolves it
    middle = mean.sigmoid()
    low = (mean - _HERMITE_NODE * deviation).sigmoid() - middle
    high = (mean + _HERMITE_NODE * deviation).sigmoid() - middle
    centre = (low + high) / 6
    # Two passes: the mean first, then squares about it.
    return (((low - centre).square() + (high - centre).square()) / 6 + centre.square() * (2 / 3)).sqrt()


def expected_ratio(passes: int, *, ddof: int) -> float:
    """The mean of the standard deviation of T normal draws over the true one.

    sqrt(2 / (T - ddof)) Gamma(T/2) / Gamma((T-1)/2), exact for normal data; 0 for a single pass.

    >>> round(expected_ratio(5, ddof=0), 4), round(expected_ratio(5, ddof=1), 4)
    (0.8407, 0.94)
    """
    if passes < 2:
        return 0.0
    return math.sqrt(2 / (passes - ddof)) * math.exp(math.lgamma(passes / 2) - math.lgamma((passes - 1) / 2))


def _odds(rate: float) -> float:
    return rate / (1 - rate)
