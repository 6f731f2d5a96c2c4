"""AT: mean of squares as published code has it, and the paper's norm."""

from foglight.losses.features.at import AT
from parity.inputs import batch
from parity.protocol import Case, Outcome
from parity.taps import pair_of, student_key

PREFIXES = ("at", "at_paper")
METHOD = "at"


def run(case: Case) -> Outcome:
    key = student_key(case)
    student, teacher = case.leaf(key), case[key.replace("student", "teacher")]
    infos, outputs = pair_of(student, teacher)
    form = "norm" if case.stem == "at_paper" else "mean_square"
    loss = AT(*infos, power=float(case.meta.get("p", 2)), form=form)
    total = loss(*outputs, batch(len(student)))["at"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient(key, case[f"grad_{key}"], student.grad)
    return outcome
