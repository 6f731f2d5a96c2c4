"""LIX's DWLD with stored controllers of any depth, and what its controller reads and gives."""

import torch

from foglight.functional.entropy import entropy
from foglight.losses.logits.dkd import DKD
from foglight.losses.logits.dwld import DWLD
from foglight.losses.weight_controller import Omega, WeightController
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("lix_dwld",)
METHOD = "dwld"


def omega(inputs: int, classes: int) -> Omega:
    """What a controller with so many inputs reads."""
    return "both" if inputs == classes + 1 else "probability" if inputs == classes else "entropy"


def build(case: Case, depth: int) -> DWLD:
    meta, student, first = case.meta, case["student"], case["mlp_w0"]
    loss = DWLD(
        info(student),
        info(case["teacher"]),
        preset="literal",
        pointwise=meta.get("pointwise", "kl"),
        controller=meta.get("controller"),
        beta_budget=meta.get("beta_budget"),
        alpha=float(meta["alpha"]),
        beta_min=float(meta["beta_min"]),
        beta_max=float(meta["beta_max"]),
        temperature=float(meta["T"]),
        omega=omega(first.shape[1], student.shape[1]),
        omega_from=meta.get("omega_from", "student"),
        detach_omega=bool(meta.get("detach_omega", True)),
        hidden=first.shape[0] if depth > 1 else 1,
        depth=depth,
        literal_eq9=bool(meta.get("literal_eq9", False)),
    ).double()
    assert loss.controller is not None
    with torch.no_grad():
        for index, layer in enumerate(loss.controller.layers):
            layer.weight.copy_(case[f"mlp_w{index}"])
            layer.bias.copy_(case[f"mlp_b{index}"])
    return loss


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    depth = sum(name.startswith("mlp_w") for name in case.arrays)
    loss = build(case, depth)
    given = batch(len(student), label=case["label"], ignore_index=int(case.meta["ignore_index"]))
    total = loss(output(student), output(teacher), given)["dwld"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    assert isinstance(loss.controller, WeightController)
    for index, layer in enumerate(loss.controller.layers):
        outcome.gradient(f"mlp_w{index}", case[f"grad_mlp_w{index}"], layer.weight.grad)
        outcome.gradient(f"mlp_b{index}", case[f"grad_mlp_b{index}"], layer.bias.grad)
    log_probability = torch.log_softmax(student.detach(), dim=1)
    valid = case["label"] != given.ignore_index
    outcome.value("entropy", case["entropy"], entropy(log_probability).movedim(1, -1)[valid])
    if loss.omega_from == "student":
        outcome.value("beta", case["beta"], loss.controller(log_probability).movedim(1, -1)[valid])
    if not loss.literal_eq9:
        # The parts are stored with the factor T^2 and without alpha.
        target = DKD(info(student), info(teacher), beta=0.0, temperature=loss.temperature)
        outcome.value("tcld", case["tcld"], target(output(student), output(teacher), given)["dkd"])
    return outcome
