"""DiffKD with its stored noise and steps, with and without autoencoder."""

from collections.abc import Mapping

import torch
from torch import Tensor

from foglight.losses.diffusion import STEPS
from foglight.losses.features.diffkd import DiffKD
from foglight.types import Batch
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("diffkd",)
METHOD = "diffkd"

NAMES = {
    "connector": "trans",
    "denoiser": "model",
    "projection": "proj",
    "encoder": "ae.encoder",
    "decoder": "ae.decoder.0",
}


def public_name(name: str) -> str:
    """Ours to theirs: their batch norms are not wrapped, and the parts are called differently."""
    part, _, rest = name.replace(".norm.", ".").partition(".")
    return f"diffkd.{NAMES.get(part, part)}.{rest}"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("s"), case["t"]
    on_logits = str(case.meta["kd"]).startswith("kl")
    loss = DiffKD(
        info(student, {"head": student}),
        info(teacher, {"head": teacher}),
        tap=None if on_logits else "head",
        inference_steps=int(case.meta["inference_steps"]),
        kernel_size=1 if case.meta["kernel_size"] == 1 else 3,
        autoencoder=bool(case.meta["use_ae"]),
        autoencoder_channels=case.meta["ae_channels"],
    ).double()
    stored = {
        "start": torch.special.ndtr(case["start_noise"]),
        "noise": torch.special.ndtr(case["ddim_noise"]),
        "step": (case["ddim_t"] + 0.5) / STEPS,
    }

    def draw(given: Batch, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        assert shapes == {name: tuple(values.shape) for name, values in stored.items()}
        return stored

    loss.draw = draw
    with torch.no_grad():
        for name, value in loss.named_parameters():
            value.copy_(case[public_name(name)])
    terms = loss(output(student, {"head": student}), output(teacher, {"head": teacher}), batch(len(student)))
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    outcome = Outcome()
    outcome.value("schedule", case["alphas_cumprod"], loss.shares)
    outcome.value("kd", case["kd_loss"], terms["kd"])
    outcome.value("noise", case["ddim_loss"], terms["noise"])
    if "reconstruction" in terms:
        outcome.value("reconstruction", case["ae_loss"], terms["reconstruction"])
    outcome.value("total", case["loss"], total)
    outcome.gradient("s", case["grad_s"], student.grad)
    for name, value in loss.named_parameters():
        if f"grad.{public_name(name)}" in case:
            outcome.gradient(name, case[f"grad.{public_name(name)}"], value.grad)
    return outcome
