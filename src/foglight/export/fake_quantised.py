"""Train a network while it computes as its int8 file will: rounded weights and activations, straight-through gradients.

    w' = s_c clamp(round(w / s_c), -127, 127),  s_c = max |w_c| / 127      per output channel c
    x' = s (clamp(round(x / s) + o, 0, 255) - o)                           per tensor, s and o from images seen before

Symbols: w a weight, x the input of a convolution or linear layer. Gradients pass where nothing was clamped.
Source: Jacob et al. 2018, section 3. Changed: batch norm is not folded first; a scale per channel makes that the same.
Cost: every convolution is computed twice, because the state dict must stay the student's own.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.models.network import Network

LARGEST_WEIGHT: Final = 127
LARGEST_ACTIVATION: Final = 255
Layer = nn.Conv2d | nn.Linear


@final
@dataclass(frozen=True)
class Range:
    """What an input was seen to span; 0 is always inside, because padding is exactly 0."""

    lowest: float = 0.0
    highest: float = 0.0

    def widened(self, values: Tensor) -> "Range":
        """With these values too."""
        return Range(min(self.lowest, values.min().item()), max(self.highest, values.max().item()))


def rounded_weight(weight: Float[Tensor, "out *rest"]) -> Float[Tensor, "out *rest"]:
    """The weight w' of the equation.

    >>> rounded_weight(torch.tensor([[1.27, 0.004]]))
    tensor([[1.2700, 0.0000]])
    """
    scale = weight.detach().flatten(1).abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / LARGEST_WEIGHT
    offset = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, offset, 0, -LARGEST_WEIGHT, LARGEST_WEIGHT)


def rounded_activation(values: Float[Tensor, "*shape"], span: Range) -> Float[Tensor, "*shape"]:
    """The input x' of the equation."""
    scale = max((span.highest - span.lowest) / LARGEST_ACTIVATION, torch.finfo(torch.float32).tiny)
    offset = min(max(round(-span.lowest / scale), 0), LARGEST_ACTIVATION)
    return torch.fake_quantize_per_tensor_affine(values, scale, offset, 0, LARGEST_ACTIVATION)


@contextmanager
def fake_quantised(network: Network, images: Iterable[Float[Tensor, "b 3 H W"]]) -> Generator[None]:
    """Inside, the network computes as in 8 bits; its weights, and what it is called, stay its own.

    Args:
        network: the student.
        images: in [0, 1]; what activations are fitted to.
    """
    layers = [module for module in network.module.modules() if isinstance(module, Layer)]
    spans = _observed(network, layers, images)
    handles = [
        layer.register_forward_hook(partial(_computed_in_8_bits, spans[layer])) for layer in layers if layer in spans
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _observed(network: Network, layers: list[Layer], images: Iterable[Tensor]) -> dict[Layer, Range]:
    spans: dict[Layer, Range] = {}

    def observe(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        spans[layer] = spans.get(layer, Range()).widened(inputs[0])

    handles = [layer.register_forward_pre_hook(observe) for layer in layers]
    was_training = network.training
    network.eval()
    try:
        for image in images:
            network(image)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    return spans


def _computed_in_8_bits(span: Range, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    values, weight = rounded_activation(inputs[0].float(), span), rounded_weight(layer.weight.float())
    if isinstance(layer, nn.Linear):
        return F.linear(values, weight, layer.bias).to(output.dtype)
    if layer.padding_mode != "zeros":
        return output
    convolved = F.conv2d(values, weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    return convolved.to(output.dtype)
