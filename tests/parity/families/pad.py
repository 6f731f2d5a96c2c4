"""PAD: the loss alone with given log-variances, and whole with its variance head on pooled features."""

import torch

from foglight.losses.features.pad import PAD, variance_weighted_squares
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("pad",)
METHOD = "pad"


def run(case: Case) -> Outcome:
    return _whole(case) if "student" in case else _alone(case)


def _alone(case: Case) -> Outcome:
    student, log_variance = case.leaf("s"), case.leaf("log_var")
    by_image = variance_weighted_squares(student, case["t"], log_variance).flatten(1).mean(1)
    total = by_image.sum() if case.meta["reduction"] == "sum" else by_image.mean()
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("s", case["grad_s"], student.grad)
    outcome.gradient("log_var", case["grad_log_var"], log_variance.grad)
    return outcome


def _whole(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    logits = torch.zeros(len(student), 2, *student.shape[2:], dtype=torch.float64)
    loss = PAD(
        info(logits, {"head": student}),
        info(logits, {"head": teacher}),
        reduction="sum" if str(case.meta["reduction"]).startswith("sum") else "mean",
        warm_up=0.0,
    ).double()
    stored = dict(zip(("0__weight", "0__bias", "1__weight", "1__bias"), loss.variance.parameters(), strict=True))
    with torch.no_grad():
        for name, value in stored.items():
            value.copy_(case[f"var_net__{name}"].view_as(value))
    total = loss(output(logits, {"head": student}), output(logits, {"head": teacher}), batch(len(student)))["pad"]
    total.backward()
    outcome = Outcome()
    outcome.value("log_var", case["log_var"], loss.variance(student))
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    for name, value in stored.items():
        expected = case[f"grad_var_net__{name}"]
        assert value.grad is not None
        outcome.gradient(name, expected, value.grad.view_as(expected))
    return outcome
