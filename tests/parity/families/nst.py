"""NST against the broadcast kernel of the published code."""

from foglight.losses.relations.nst import NST
from parity.inputs import batch
from parity.protocol import Case, Outcome
from parity.taps import pair_of

PREFIXES = ("nst",)
METHOD = "nst"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    infos, outputs = pair_of(student, teacher)
    loss = NST(*infos)
    total = loss(*outputs, batch(len(student)))["nst"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    return outcome
