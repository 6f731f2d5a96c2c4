"""Overhaul: its margin, its partial distance, and all taps together."""

from foglight.losses.features.ofd import OFD, partial_l2
from foglight.losses.margin import margin_from_batch_norm
from foglight.types import ModelInfo, TapInfo
from parity.families.attnfd import compare_connector, fill_connector
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("ofd_margin", "ofd_loss", "ofd_full")
METHOD = "ofd"


def run(case: Case) -> Outcome:
    outcome = Outcome()
    if case.stem == "ofd_margin":
        outcome.value("margin", case["margin"], margin_from_batch_norm(case["gamma"], case["beta"]))
    elif case.stem == "ofd_loss":
        source = case.leaf("source")
        loss = partial_l2(source, case["target"], case["margin"].flatten())
        loss.backward()
        outcome.value("loss", case["loss"], loss)
        outcome.gradient("source", case["grad_source"], source.grad)
    else:
        _all_taps(case, outcome)
    return outcome


def _all_taps(case: Case, outcome: Outcome) -> None:
    stages = sorted(name.removeprefix("s_raw") for name in case.arrays if name.startswith("s_raw"))
    student, teacher = {i: case.leaf(f"s_raw{i}") for i in stages}, {i: case[f"t_raw{i}"] for i in stages}
    affine = {i: (case[f"t_bn{i}.weight"], case[f"t_bn{i}.bias"]) for i in stages}
    taps = {i: TapInfo(feature.shape[1], 8, affine[i]) for i, feature in teacher.items()}
    divisors, scale = tuple(float(value) for value in case.meta["divider"]), float(case.meta["scale"])
    loss = OFD(
        info(student["0"], student), ModelInfo(2, 8, taps), taps=tuple(stages), divisors=divisors, scale=scale
    ).double()
    for i in stages:
        fill_connector(case, f"connector{i}", loss.connectors[int(i)])
        outcome.value(f"margin {i}", case[f"margin{i}"].flatten(), loss.margins[int(i)](teacher[i]))
    loss.train(case.meta["connector_bn"] == "train")
    images = len(student["0"])
    total = loss(output(student["0"], student), output(student["0"], teacher), batch(images))["ofd"]
    total.backward()
    outcome.value("loss", case["loss"], total)
    outcome.value("raw sum", case["raw_sum"], total * images / scale)
    for i in stages:
        outcome.gradient(f"s_raw{i}", case[f"grad_s_raw{i}"], student[i].grad)
        compare_connector(case, outcome, f"connector{i}", loss.connectors[int(i)])
