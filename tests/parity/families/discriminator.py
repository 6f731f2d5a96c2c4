"""SAGAN's discriminator, its attention and its spectrally normalised convolution, with given weights."""

import torch
from torch import Tensor, nn

from foglight.losses.adversarial.skd_holistic import deceived
from foglight.losses.discriminator import Discriminator
from foglight.losses.self_attention import SelfAttention
from foglight.losses.spectral_convolution import SpectralConv2d
from parity.protocol import Case, Outcome

PREFIXES = ("discriminator", "self_attn", "spectral_norm")
METHOD = "skd_holistic"
# Published module by ours; what follows the module's name is in the second table.
MODULES = {
    **{f"l{i}.0.module": f"down{i}" for i in (1, 2, 3, 4)},
    **{f"attn{i}": f"attention{i + 2}" for i in (1, 2)},
    "last.0": "score",
    "preprocess_additional": "standardise",
}
PARTS = {
    **{"weight_bar": "weight", "weight_u": "left", "weight_v": "right"},
    **{f"{part}_conv.{kind}": f"{part}.{kind}" for part in ("query", "key", "value") for kind in ("weight", "bias")},
}


def run(case: Case) -> Outcome:
    return {"discriminator": _discriminator, "self_attn": _attention, "spectral_norm": _convolution}[case.stem](case)


def _discriminator(case: Case) -> Outcome:
    logits = case.leaf("logits")
    critic = Discriminator(logits.shape[1], width=case.meta["conv_dim"]).double()
    with torch.no_grad():
        for index, (name, shape) in enumerate(case.meta["params"]):
            critic.state_dict()[our_name(name)].copy_(formula(name, index, shape))
    scores = critic(logits)
    loss = deceived(scores)
    loss.backward()
    outcome = Outcome()
    outcome.value("scores", case["d_out"], scores)
    outcome.value("loss", case["loss"], loss)
    outcome.gradient("logits", case["grad_logits"], logits.grad)
    return outcome


def our_name(published: str) -> str:
    module = next(name for name in MODULES if published.startswith(f"{name}."))
    part = published.removeprefix(f"{module}.")
    return f"{MODULES[module]}.{PARTS.get(part, part)}"


def formula(name: str, index: int, shape: list[int]) -> Tensor:
    """The weights that meta describes in words."""
    values = torch.empty(shape, dtype=torch.float64)
    if name.startswith("preprocess"):
        return values.fill_(1.0 if name.endswith("weight") else 0.0)
    if name.endswith("gamma"):
        return values.fill_(0.5)
    flat = torch.arange(values.numel(), dtype=torch.float64)
    angle = torch.sin(12.9898 * flat + 78.233 * index) * 43758.5453
    amplitude = 2 / values[0].numel() ** 0.5 if values.ndim > 1 else 1.0
    values = (amplitude * (angle - angle.floor() - 0.5)).view(shape)
    return nn.functional.normalize(values, dim=0) if name.endswith(("_u", "_v")) else values


def _attention(case: Case) -> Outcome:
    values = case.leaf("x")
    block = SelfAttention(values.shape[1]).double()
    with torch.no_grad():
        block.gamma.fill_(case.meta["gamma"])
        for key, project in {"q": block.query, "k": block.key, "v": block.value}.items():
            project.weight.copy_(case[f"w{key}"])
            project.bias.copy_(case[f"b{key}"])
    return _squares(case, values, block(values))


def _convolution(case: Case) -> Outcome:
    values, weight = case.leaf("x"), case["weight_bar"]
    convolution = SpectralConv2d(
        weight.shape[1],
        len(weight),
        kernel_size=weight.shape[2],
        stride=case.meta["stride"],
        padding=case.meta["padding"],
    ).double()
    state = {"weight": weight, "bias": case["bias"], "left": case["u"], "right": case["v"]}
    convolution.load_state_dict(state)
    result = convolution(values)
    outcome = _squares(case, values, result)
    outcome.value("y", case["y"], result)
    outcome.value("u", case["u_after"], convolution.left)
    outcome.value("v", case["v_after"], convolution.right)
    outcome.gradient("weight", case["grad_weight_bar"], convolution.weight.grad)
    return outcome


def _squares(case: Case, values: Tensor, result: Tensor) -> Outcome:
    loss = result.square().sum()
    loss.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], loss)
    outcome.gradient("x", case["grad_x"], values.grad)
    return outcome
