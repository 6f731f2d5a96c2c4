"""MasKD on features as the public detection code has it: weights of tokens, and the student's own masks."""

import torch

from foglight.losses.features.maskd import MasKD
from foglight.losses.receptive_tokens import ReceptiveTokens
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("maskd_det",)
METHOD = "maskd"


def copy_tokens(case: Case, tokens: ReceptiveTokens, prefix: str) -> None:
    """Put the stored tokens, and the weights of tokens where there are any, into ours."""
    with torch.no_grad():
        tokens.vectors.copy_(case[f"{prefix}mask_token"])
        if tokens.local is not None and tokens.vote is not None:
            tokens.local.weight.copy_(case[f"{prefix}prob.0.weight"])
            tokens.local.bias.copy_(case[f"{prefix}prob.0.bias"])
            tokens.vote.weight.copy_(case[f"{prefix}prob.2.weight"].flatten(1))
            tokens.vote.bias.copy_(case[f"{prefix}prob.2.bias"])


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("s"), case["t"]
    logits = torch.zeros(len(student), 2, *student.shape[2:], dtype=torch.float64)
    loss = MasKD(
        info(logits, {"head": student}),
        info(logits, {"head": teacher}),
        tokens=int(case.meta["tokens"]),
        form="detection",
        weigh_tokens=bool(case.meta["weight_mask"]),
        student_masks_from=0 if case.meta["custom_mask"] else None,
        allow_random_tokens=True,
    ).double()
    copy_tokens(case, loss.tokens, "maskd.mask_modules.0.")
    total = loss(output(logits, {"head": student}), output(logits, {"head": teacher}), batch(len(student)))["maskd"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("s", case["grad_s"], student.grad)
    return outcome
