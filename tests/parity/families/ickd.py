"""Inter-channel correlation on whole maps and on patches."""

from math import prod

from foglight.losses.features.ickd import ICKD
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("ickd", "ickd_grid")
METHOD = "ickd"

# Our parameter's name -> that of the published embedding.
NAMES = {
    "projection.convolution.weight": "conv2d.weight",
    "norm.norm.weight": "l2norm.weight",
    "norm.norm.bias": "l2norm.bias",
    "norm.norm.running_mean": "l2norm.running_mean",
    "norm.norm.running_var": "l2norm.running_var",
}


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("s"), case["t"]
    rows, columns = case.meta.get("grid", (1, 1))
    loss = ICKD(info(student, {"map": student}), info(student, {"map": teacher}), tap="map", grid=(rows, columns))
    loss = loss.double().train(case.meta["bn"] == "train")
    stored = {own: case[f"embed_s.{published}"] for own, published in NAMES.items()}
    loss.connector.load_state_dict(stored, strict=False)
    total = loss(output(student, {"map": student}), output(student, {"map": teacher}), batch(len(student)))["ickd"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    if "loss_sum" in case:
        outcome.value("sum over patches", case["loss_sum"], prod((rows, columns)) * total)
    outcome.gradient("s", case["grad_s"], student.grad)
    for own, parameter in loss.connector.named_parameters():
        if f"grad.embed_s.{NAMES[own]}" in case:
            outcome.gradient(own, case[f"grad.embed_s.{NAMES[own]}"], parameter.grad)
    return outcome
