"""MGD with the stored uniform numbers of its mask."""

from collections.abc import Mapping

import torch
from torch import Tensor

from foglight.losses.features.mgd import MGD
from foglight.types import Batch
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("mgd",)
METHOD = "mgd"


def parameters(loss: MGD) -> dict[str, Tensor]:
    """Ours by the public code's names."""
    own = {name.replace("connector.convolution", "align"): value for name, value in loss.named_parameters()}
    return {name.replace("generator", "generation"): value for name, value in own.items()}


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("s"), case["t"]
    logits = torch.zeros(len(student), 2, *student.shape[2:], dtype=torch.float64)
    loss = MGD(
        info(logits, {"head": student}),
        info(logits, {"head": teacher}),
        mask_ratio=float(case.meta["lambda_"]),
        alpha=float(case.meta["alpha"]),
        mask="channel" if "channel" in str(case.meta.get("mask", "")) else "position",
    ).double()

    def draw(given: Batch, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        assert shapes == {"mask": tuple(case["uniform"].shape)}
        return {"mask": case["uniform"]}

    loss.draw = draw
    with torch.no_grad():
        for name, value in parameters(loss).items():
            value.copy_(case[f"mgd.{name}"])
    total = loss(output(logits, {"head": student}), output(logits, {"head": teacher}), batch(len(student)))["mgd"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("s", case["grad_s"], student.grad)
    for name, value in parameters(loss).items():
        outcome.gradient(name, case[f"grad.mgd.{name}"], value.grad)
    return outcome
