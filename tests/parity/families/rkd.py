"""RKD on whole features as vectors, as published code is called here; mmrazor gives them unit norm first."""

from foglight.losses.relations.rkd import RKD
from parity.inputs import batch
from parity.protocol import Case, Outcome
from parity.taps import pair_of

PREFIXES = ("rkd", "rkd_l2norm")
METHOD = "rkd"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    infos, outputs = pair_of(student, teacher)
    loss = RKD(*infos, points="flattened", squared=bool(case.meta.get("squared")), l2_norm=case.stem == "rkd_l2norm")
    terms = loss(*outputs, batch(len(student)))
    weights = float(case.meta["distance_weight"]), float(case.meta["angle_weight"])
    total = weights[0] * terms["rkd_distance"] + weights[1] * terms["rkd_angle"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    return outcome
