"""SKD's pair-wise term in CIRKD's form and in its authors'."""

from foglight.losses.relations.skd_pairwise import SKDPairwise
from parity.protocol import Case, Outcome
from parity.relation import compare

PREFIXES = ("skd_pair", "skd_pair_cirkd", "skd_pair_orig")
METHOD = "skd_pairwise"


def options(case: Case) -> dict[str, object]:
    if "scale" in case.meta:
        return {"node_share": float(case.meta["scale"]), "norm_gradient": not case.meta["norm_detached"]}
    return {"pool": int(case.meta["pool"])}


def run(case: Case) -> Outcome:
    return compare(case, lambda student, teacher: SKDPairwise(student, teacher, **options(case)), "skd_pairwise")
