"""SP, and torchdistill's with rows of unit L1 norm."""

from foglight.losses.relations.sp import SP
from parity.inputs import batch
from parity.protocol import Case, Outcome
from parity.taps import pair_of

PREFIXES = ("sp", "sp_torchdistill")
METHOD = "sp"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    infos, outputs = pair_of(student, teacher)
    loss = SP(*infos, row_norm=1 if case.stem == "sp_torchdistill" else 2)
    total = loss(*outputs, batch(len(student)))["sp"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    return outcome
