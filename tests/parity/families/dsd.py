"""DSD on CIRKD's triple of auxiliary logits, head feature and logits."""

import torch

from foglight.losses.relations.dsd import DSD
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("dsd",)
METHOD = "dsd"
TAPS = ("aux", "feat")
TERMS = {"psd": "dsd_pixel", "csd": "dsd_class"}


def run(case: Case) -> Outcome:
    student = {name: case.leaf(f"s_{name}") for name in (*TAPS, "logits")}
    features, other = {name: student[name] for name in TAPS}, {name: case[f"t_{name}"] for name in TAPS}
    loss = DSD(
        info(student["logits"], features),
        info(case["t_logits"], other),
        taps=TAPS,
        temperature=float(case.meta["csd_tau"]),
    )
    terms = loss(output(student["logits"], features), output(case["t_logits"], other), batch(len(student["logits"])))
    outcome = Outcome()
    outcome.value("total", case["loss"], terms["dsd_pixel"] + terms["dsd_class"])
    for published, term in TERMS.items():
        outcome.value(term, case[f"loss_{published}"], terms[term])
        gradients = torch.autograd.grad(terms[term], list(student.values()), allow_unused=True, retain_graph=True)
        for name, gradient in zip(student, gradients, strict=True):
            outcome.gradient(f"{term} by {name}", case[f"grad_{published}__s_{name}"], gradient)
    return outcome
