"""DIST: the segmentation half on maps, the classification half with its temperature."""

from foglight.losses.logits.dist import DIST
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("dist", "dist_cls")
METHOD = "dist"


def run(case: Case) -> Outcome:
    key, other = ("s_logits", "t_logits") if "s_logits" in case else ("student", "teacher")
    student, teacher = case.leaf(key), case[other]
    beta, gamma = float(case.meta["beta"]), float(case.meta["gamma"])
    temperature = float(case.meta["tau"])
    loss = DIST(info(student), info(teacher), beta=beta, gamma=gamma, temperature=temperature)
    terms = loss(output(student), output(teacher), batch(len(student)))
    total = terms["dist_inter"] + terms["dist_intra"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient(key, case[f"grad_{key}"], student.grad)
    # The parts are stored without their factors.
    for part, factor in (("inter", beta), ("intra", gamma)):
        if part in case and factor:
            outcome.value(part, case[part], terms[f"dist_{part}"] / (factor * temperature**2))
    return outcome
