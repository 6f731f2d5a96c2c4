"""LIX's ARFD from aligned features on: recalibration, then consistency."""

from typing import Final

from foglight.functional.recalibration import recalibrate
from foglight.losses.features.arfd import inconsistency
from parity.protocol import Case, Outcome

PREFIXES = ("lix_arfd",)
METHOD = "arfd"

ESTIMATORS: Final = {"eq15": "printed"}


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    ours, theirs = (recalibrate(values, kernel=case.meta["kernel"]) for values in (student, teacher))
    hsic = case.meta["hsic"]
    fold_batch = bool(case.meta["fold_batch"])
    total = inconsistency(ours, theirs, hsic=ESTIMATORS.get(hsic, hsic), fold_batch=fold_batch)
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    return outcome
