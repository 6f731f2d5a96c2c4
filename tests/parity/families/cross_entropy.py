"""The task loss: CIRKD's with its auxiliary head, AttnFD's with its division by the batch."""

import torch

from foglight.losses.task.cross_entropy import CrossEntropy
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("task_ce", "segce")
METHOD = "cross_entropy"


def run(case: Case) -> Outcome:
    return _attnfd(case) if case.stem == "segce" else _cirkd(case)


def _cirkd(case: Case) -> Outcome:
    logits, auxiliary = case.leaf("logits"), case.leaf("aux_logits")
    align_corners = bool(case.meta["align_corners"])
    loss = CrossEntropy(info(logits, align_corners=align_corners), None, auxiliary_weight=case.meta["aux_weight"])
    given = batch(len(logits), label=case["labels"], ignore_index=case.meta["ignore_index"])
    terms = loss(output(logits, auxiliary=(auxiliary,)), None, given)
    outcome = Outcome()
    outcome.value("main", case["loss_main"], terms["ce"])
    outcome.value("auxiliary", case["loss_aux"], terms["ce_auxiliary"])
    outcome.value("total", case["loss"], terms["ce"] + terms["ce_auxiliary"])
    inputs = {"logits": logits, "aux_logits": auxiliary}
    for term, prefix in (("ce", "grad_main"), ("ce_auxiliary", "grad_aux")):
        gradients = torch.autograd.grad(terms[term], list(inputs.values()), allow_unused=True)
        for name, gradient in zip(inputs, gradients, strict=True):
            outcome.gradient(f"{term} by {name}", case[f"{prefix}__{name}"], gradient)
    return outcome


def _attnfd(case: Case) -> Outcome:
    logits = case.leaf("logits")
    weights = next((values for name, values in case.arrays.items() if "weight" in name), None)
    loss = CrossEntropy(
        info(logits), None, divide_by_batch=True, class_weights=None if weights is None else weights.tolist()
    )
    given = batch(len(logits), label=case["labels"], ignore_index=case.meta["ignore_index"])
    total = loss(output(logits), None, given)["ce"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("logits", case["grad_logits"], logits.grad)
    return outcome
