"""IFVD; its pixel-wise cases belong to KD."""

from foglight.losses.relations.ifvd import IFVD
from parity.protocol import Case, Outcome
from parity.relation import compare

PREFIXES = ("ifvd",)
METHOD = "ifvd"


def run(case: Case) -> Outcome:
    return compare(case, IFVD, "ifvd")
