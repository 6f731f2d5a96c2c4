"""MasKD on logits as the public segmentation code has it, and the stage that learns its tokens."""

import torch

from foglight.losses.features.maskd import MasKD
from foglight.losses.receptive_tokens import ReceptiveTokens
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("maskd",)
METHOD = "maskd"


def run(case: Case) -> Outcome:
    student, teacher, tokens = case.leaf("s"), case["t"], case["mask_token"]
    loss = MasKD(info(student), info(teacher), tap=None, tokens=len(tokens), allow_random_tokens=True).double()
    with torch.no_grad():
        loss.tokens.vectors.copy_(tokens)
    loss.tokens.requires_grad_(False)
    total = loss(output(student), output(teacher), batch(len(student)))["maskd"]
    total.backward()
    outcome = Outcome()
    outcome.value("mask", case["mask"], loss.tokens.masks(teacher))
    outcome.value("loss", case["loss"], total)
    outcome.gradient("s", case["grad_s"], student.grad)
    if "stage1" in case:
        _stage(case, loss.tokens.requires_grad_(True), outcome)
    return outcome


def _stage(case: Case, tokens: ReceptiveTokens, outcome: Outcome) -> None:
    masked = tokens(case["t"])
    diversity = tokens.take_diversity()
    total = (masked * case["upstream"]).sum() + diversity
    total.backward()
    outcome.value("masked teacher", case["stage1_out"], masked)
    outcome.value("diversity", case["stage1_div"], diversity)
    outcome.value("stage 1", case["stage1"], total)
    outcome.gradient("tokens", case["grad_stage1_mask_token"], tokens.vectors.grad)
