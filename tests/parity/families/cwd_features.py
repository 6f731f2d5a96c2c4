"""CWD on features with CIRKD's connector and its normaliser."""

import torch

from foglight.losses.connectors import Pointwise
from foglight.losses.logits.cwd import CWD
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("cwd_feat", "cwd_feat_cirkd")
METHOD = "cwd"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student_feat"), case["teacher_feat"]
    logits = torch.zeros(len(student), 2, *student.shape[2:], dtype=torch.float64)
    loss = CWD(
        info(logits, {"head": student}),
        info(logits, {"head": teacher}),
        tap="head",
        temperature=float(case.meta["temperature"]),
        normaliser="student",
    ).double()
    if isinstance(loss.connector, Pointwise):
        with torch.no_grad():
            loss.connector.convolution.weight.copy_(case["conv_weight"])
    total = loss(output(logits, {"head": student}), output(logits, {"head": teacher}), batch(len(student)))["cwd"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student_feat", case["grad_student_feat"], student.grad)
    if isinstance(loss.connector, Pointwise):
        outcome.gradient("conv_weight", case["grad_conv_weight"], loss.connector.convolution.weight.grad)
    return outcome
