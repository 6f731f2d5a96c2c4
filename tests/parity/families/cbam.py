"""The attention module alone: with its perceptron and convolution, or without parameters."""

import torch

from foglight.losses.attention import CBAM, Attention, ParameterFreeAttention, gate_channels
from parity.protocol import Case, Outcome

PREFIXES = ("cbam",)
METHOD = "attnfd"

# Our parameter's name -> that of the published module.
NAMES = {
    "perceptron.0.weight": "ChannelGate.mlp.1.weight",
    "perceptron.0.bias": "ChannelGate.mlp.1.bias",
    "perceptron.2.weight": "ChannelGate.mlp.3.weight",
    "perceptron.2.bias": "ChannelGate.mlp.3.bias",
    "convolution.weight": "SpatialGate.spatial.conv.weight",
    "norm.weight": "SpatialGate.spatial.bn.weight",
    "norm.bias": "SpatialGate.spatial.bn.bias",
    "norm.running_mean": "SpatialGate.spatial.bn.running_mean",
    "norm.running_var": "SpatialGate.spatial.bn.running_var",
}


def attention_of(case: Case, prefix: str, channels: int) -> Attention:
    """The stored module, without parameters where none are stored."""
    if f"{prefix}.{NAMES['convolution.weight']}" not in case:
        return ParameterFreeAttention()
    attention = CBAM(channels, reduction=reduction(case), fewest_hidden=1).double()
    fill(case, prefix, attention)
    return attention


def reduction(case: Case) -> int:
    return int(case.meta.get("reduction_ratio", case.meta.get("cbam_reduction", 16)))


def fill(case: Case, prefix: str, attention: CBAM) -> None:
    stored = {own: case[f"{prefix}.{published}"] for own, published in NAMES.items()}
    attention.load_state_dict(stored, strict=False)


def compare_gradients(case: Case, outcome: Outcome, prefix: str, attention: Attention) -> None:
    for own, parameter in attention.named_parameters():
        outcome.gradient(f"{prefix} {own}", case[f"grad.{prefix}.{NAMES[own]}"], parameter.grad)


def run(case: Case) -> Outcome:
    feature = case.leaf("x")
    attention = attention_of(case, "cbam", feature.shape[1])
    attention.train(not str(case.meta["batchnorm"]).startswith("eval"))
    channels = attention.perceptron if isinstance(attention, CBAM) else torch.nn.Identity()
    refined = attention(feature)
    loss = (refined * case["upstream"]).sum()
    loss.backward()
    outcome = Outcome()
    outcome.value("after the channels", case["out_channel"], gate_channels(feature, channels))
    outcome.value("refined", case["out"], refined)
    outcome.value("loss", case["loss"], loss)
    outcome.gradient("x", case["grad_x"], feature.grad)
    compare_gradients(case, outcome, "cbam", attention)
    return outcome
