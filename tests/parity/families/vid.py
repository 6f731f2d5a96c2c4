"""VID with its regressor and its learned variances."""

from foglight.losses.features.vid import VID
from parity.inputs import batch
from parity.protocol import Case, Outcome
from parity.taps import compare_weights, copy_weights, pair_of

PREFIXES = ("vid",)
METHOD = "vid"


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    infos, outputs = pair_of(student, teacher)
    hidden = len(case["vid_regressor__0__weight"])
    loss = VID(*infos, hidden_channels=hidden, initial_variance=float(case.meta["init_pred_var"])).double()
    (head,) = loss.heads
    weights = {"vid_log_scale": head.pre_variance}
    weights |= {f"vid_regressor__{name.replace('.', '__')}": p for name, p in head.regressor.named_parameters()}
    copy_weights(case, weights)
    total = loss(*outputs, batch(len(student)))["vid"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("student", case["grad_student"], student.grad)
    compare_weights(outcome, case, weights)
    return outcome
