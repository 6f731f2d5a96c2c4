"""DKD: mdistiller's on vectors and on valid pixels, and mmrazor's.

mmrazor asks for a sum by an old argument of torch's kl_div, which overrides every reduction but the default batchmean:
torch still divides that one by the batch, so the default is mdistiller's mean after all.
"""

from foglight.losses.logits.dkd import DKD
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("dkd", "dkd_mmrazor")
METHOD = "dkd"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    loss = DKD(
        info(student),
        info(teacher),
        alpha=float(case.meta["alpha"]),
        beta=float(case.meta["beta"]),
        temperature=float(case.meta["T"]),
        reduction="pixel_mean" if case.meta.get("reduction", "batchmean") == "batchmean" else "sum",
    )
    given = batch(len(student), label=case["label"], ignore_index=case.meta.get("ignore_index", 255))
    total = loss(output(student), output(teacher), given)["dkd"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    return outcome
