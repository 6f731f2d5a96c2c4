"""Sigma of a network whose last dropout feeds a linear classifier, from the one forward that trains it.

The dropout's input h is read as it passes; `foglight.functional.dropout_moments` does the rest. At the head's grid the
power of a channel is h^2. At the label's grid, where logits are resized with bilinear weights u,

    elementwise dropout:  sum_i u_i^2 h_i^2  (masks are independent from position to position, noise averages out)
    dropout of channels:  (sum_i u_i h_i)^2  (one mask for the whole map)

so the covariance of resized logits stays exact, and a resized head sigma (1.4 times too large at stride 8 for
elementwise dropout) is never used. Source: own derivation.
Cost: a few 1x1 convolutions at the head's grid; at the label's, c times the label's pixels, a few rows at a time.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.functional.dropout_moments import expected_ratio, softmax_sigma
from foglight.functional.resize import resize
from foglight.models.dry_run import DropoutPath, find_dropout
from foglight.types import SigmaRequest

_VALUES_AT_ONCE: Final = 2**22  # of the power at the label's grid: 16 MB in float32


def is_complete(module: nn.Module, path: DropoutPath) -> bool:
    """Whether the last dropout feeds a linear or 1x1 classifier that makes the logits: then the moments are exact."""
    if path.classifier is None or path.feeding is None or path.feeding != path.dropouts[-1]:
        return False
    classifier, dropout = module.get_submodule(path.classifier), find_dropout(module, path.feeding)
    if isinstance(classifier, nn.Conv2d):
        plain = set(classifier.kernel_size) == set(classifier.stride) == {1} and classifier.groups == 1
        return plain and set(classifier.padding) <= {0, "valid"} and isinstance(dropout, nn.Dropout | nn.Dropout2d)
    return isinstance(classifier, nn.Linear) and isinstance(dropout, nn.Dropout)


@torch.no_grad()
def closed_form_sigma(
    classifier: nn.Conv2d | nn.Linear,
    dropout: nn.Module,
    feature: Float[Tensor, "b c *grid"],
    request: SigmaRequest,
    *,
    rate: float,
    label_size: tuple[int, int] | None,
    align_corners: bool,
) -> Float[Tensor, "b k *sigma_grid"]:
    """Sigma at the head's or the label's grid; two classes where the classifier has one channel.

    Args:
        classifier: whose output is the logits.
        dropout: whose output the classifier reads; an `nn.Dropout2d` drops whole channels.
        feature: h, the dropout's input.
        request: temperature, grid, match_passes and ddof are read.
        rate: the probability of a zero.
        label_size: height and width of the label, for `grid: label`.
        align_corners: how the network resizes its logits.
    """
    with torch.autocast(feature.device.type, enabled=False):
        weight, bias = _parameters(classifier, feature.dtype)
        weight, bias = weight / request.temperature, bias / request.temperature
        flat = feature.reshape(*feature.shape[:2], -1)
        mean = (weight @ flat + bias.unsqueeze(1)).reshape(feature.shape[0], -1, *feature.shape[2:])
        if request.grid == "label" and feature.ndim == 4 and label_size is not None:
            sigma = _sigma_at_label(
                resize(mean, label_size, align_corners=align_corners),
                feature,
                weight,
                rate=rate,
                whole_channels=isinstance(dropout, nn.Dropout2d),
                align_corners=align_corners,
            )
        else:
            sigma = softmax_sigma(mean, feature.square(), weight, rate=rate)
    return sigma if request.match_passes is None else sigma * expected_ratio(request.match_passes, ddof=request.ddof)


def _parameters(classifier: nn.Conv2d | nn.Linear, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    weight = classifier.weight.detach().flatten(1).to(dtype)
    bias = weight.new_zeros(weight.shape[0]) if classifier.bias is None else classifier.bias.detach().to(dtype)
    if weight.shape[0] == 1:  # one channel z stands for the two classes [0, z]
        weight, bias = torch.cat([torch.zeros_like(weight), weight]), torch.cat([torch.zeros_like(bias), bias])
    return weight, bias


def _sigma_at_label(
    mean: Float[Tensor, "b k H W"],
    feature: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "k c"],
    *,
    rate: float,
    whole_channels: bool,
    align_corners: bool,
) -> Float[Tensor, "b k H W"]:
    rows = interpolation_matrix(feature.shape[2], mean.shape[2], align_corners=align_corners).to(feature)
    columns = interpolation_matrix(feature.shape[3], mean.shape[3], align_corners=align_corners).to(feature)
    if not whole_channels:
        rows, columns, feature = rows.square(), columns.square(), feature.square()
    stretched = feature @ columns.T
    step = max(1, _VALUES_AT_ONCE // (feature.shape[0] * feature.shape[1] * mean.shape[3]))
    strips: list[Tensor] = []
    for start in range(0, mean.shape[2], step):
        strip = torch.einsum("yh,bchx->bcyx", rows[start : start + step], stretched)
        power = strip.square() if whole_channels else strip
        strips.append(softmax_sigma(mean[:, :, start : start + step], power, weight, rate=rate))
    return torch.cat(strips, 2)


def interpolation_matrix(old: int, new: int, *, align_corners: bool) -> Float[Tensor, "new old"]:
    """The weights of linear interpolation along one axis.

    >>> interpolation_matrix(2, 3, align_corners=True)
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000],
            [0.0000, 1.0000]])
    """
    return F.interpolate(torch.eye(old).unsqueeze(0), size=new, mode="linear", align_corners=align_corners)[0].T
