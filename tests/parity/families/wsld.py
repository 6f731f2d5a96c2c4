"""WSLD: the soft term alone, and with the hard cross-entropy that the published class adds."""

from foglight.losses.logits.wsld import WSLD
from foglight.losses.task.cross_entropy import CrossEntropy
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("wsld",)
METHOD = "wsld"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    loss = WSLD(info(student), info(teacher), temperature=float(case.meta["T"]))
    given = batch(len(student), label=case["label"], ignore_index=case.meta.get("ignore_index", 255))
    soft = loss(output(student), output(teacher), given)["wsld"]
    hard = CrossEntropy(info(student), None)(output(student), None, given)["ce"]
    total = hard + case.meta["alpha"] * soft
    total.backward()
    outcome = Outcome()
    outcome.value("soft", case["soft_loss"], soft)
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    return outcome
