"""CIRKD's mini-batch term, pooled and not."""

from foglight.losses.relations.cirkd_minibatch import CIRKDMinibatch
from parity.protocol import Case, Outcome
from parity.relation import compare

PREFIXES = ("cirkd_minibatch",)
METHOD = "cirkd_minibatch"


def run(case: Case) -> Outcome:
    temperature, pool = float(case.meta["temperature"]), 2 if case.meta["pooling"] else 1
    return compare(
        case,
        lambda student, teacher: CIRKDMinibatch(student, teacher, temperature=temperature, pool=pool),
        "cirkd_minibatch",
    )
