"""FitNet with CIRKD's bare 1x1 regressor and with RepDistiller's, which depends on both grids."""

from foglight.losses.features.fitnet import FitNet, Resample
from parity.inputs import batch
from parity.protocol import Case, Outcome
from parity.taps import compare_weights, copy_weights, pair_of, student_key

PREFIXES = ("fitnet",)
METHOD = "fitnet"


def run(case: Case) -> Outcome:
    key = student_key(case)
    student, teacher = case.leaf(key), case[key.replace("student", "teacher")]
    infos, outputs = pair_of(student, teacher)
    loss = FitNet(*infos, **_options(case, key)).double()
    names = {"conv_weight": "regressor.convolution.weight"} if "conv_weight" in case else _PUBLISHED
    parameters = dict(loss.named_parameters())
    weights = {published: parameters[ours] for published, ours in names.items()}
    copy_weights(case, weights)
    total = loss(*outputs, batch(len(student)))["fitnet"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    if "projected" in case:
        outcome.value("projected", case["projected"], loss.regressor(student))
    outcome.gradient(key, case[f"grad_{key}"], student.grad)
    compare_weights(outcome, case, weights)
    return outcome


_PUBLISHED = {
    "reg_conv__weight": "regressor.convolution.weight",
    "reg_conv__bias": "regressor.convolution.bias",
    "reg_bn__weight": "regressor.batch_norm.norm.weight",
    "reg_bn__bias": "regressor.batch_norm.norm.bias",
}


def _options(case: Case, key: str) -> dict[str, object]:
    """RepDistiller's ConvReg chooses by the height of both maps alone."""
    if "conv_weight" in case:
        return {}
    ours, theirs = case[key].shape[2], case[key.replace("student", "teacher")].shape[2]
    resample: Resample = "halve" if ours == 2 * theirs else "double" if 2 * ours == theirs else "none"
    kernel_size = tuple(case["reg_conv__weight"].shape[2:]) if resample == "none" else (1, 1)
    return {"resample": resample, "kernel_size": kernel_size, "bias": True, "batch_norm": True, "relu": True}
