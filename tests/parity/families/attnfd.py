"""AttnFD as published: one norm over the batch, divided by the number of images."""

from torch import Tensor, nn

from foglight.losses.attention import CBAM
from foglight.losses.features.attnfd import AttnFD, refined_distance
from foglight.losses.normalised_connector import NormalisedConnector
from parity.families.cbam import compare_gradients, fill, reduction
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("attnfd",)
METHOD = "attnfd"

# Our parameter's name -> that of the published connector.
NAMES = {
    "projection.convolution.weight": "0.weight",
    "norm.norm.weight": "1.weight",
    "norm.norm.bias": "1.bias",
    "norm.norm.running_mean": "1.running_mean",
    "norm.norm.running_var": "1.running_var",
}


def fill_connector(case: Case, prefix: str, connector: nn.Module) -> None:
    stored = {own: case[f"{prefix}.{published}"] for own, published in NAMES.items()}
    connector.load_state_dict(stored, strict=False)


def compare_connector(case: Case, outcome: Outcome, prefix: str, connector: nn.Module) -> None:
    for own, parameter in connector.named_parameters():
        outcome.gradient(f"{prefix} {own}", case[f"grad.{prefix}.{NAMES[own]}"], parameter.grad)


def build(case: Case, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> AttnFD:
    """The loss with every stored weight, in the modes that the case names."""
    free = "t_cbam0.SpatialGate.spatial.conv.weight" not in case
    loss = AttnFD(
        info(student["0"], student),
        info(student["0"], teacher),
        taps=tuple(student),
        scope="batch",
        divide_by_batch=True,
        attention_of_teacher="parameter_free" if free else "adapted",
        teacher_statistics="batch" if case.meta["teacher_bn"] == "train" else "running",
        attention_reduction=reduction(case),
        fewest_hidden=1,
    ).double()
    for index in range(len(student)):
        fill_connector(case, f"connector{index}", loss.connectors[index])
        for prefix, attention in (("s", loss.student_attention[index]), ("t", loss.adapt_modules[index])):
            if isinstance(attention, CBAM):
                fill(case, f"{prefix}_cbam{index}", attention)
    loss.train(case.meta["student_bn"] == "train")
    loss.adapt_modules.train()
    return loss


def run(case: Case) -> Outcome:
    stages = sorted(name.removeprefix("s_raw") for name in case.arrays if name.startswith("s_raw"))
    student, teacher = {i: case.leaf(f"s_raw{i}") for i in stages}, {i: case[f"t_raw{i}"] for i in stages}
    loss = build(case, student, teacher)
    said, shown, images = output(student["0"], student), output(student["0"], teacher), len(student["0"])
    outcome = Outcome()
    total = float(case.meta["attn_lambda"]) * loss(said, shown, batch(images))["attnfd"]
    total.backward()
    outcome.value("loss", case["loss"], total)
    for index, (own, given) in enumerate(loss.refinements(said, shown)):
        connector, attention = loss.connectors[index], loss.student_attention[index]
        assert isinstance(connector, NormalisedConnector)
        assert isinstance(attention, CBAM)
        connected = connector(own.refined)
        distance = refined_distance(connected, given.refined, scope="batch") / images
        outcome.value(f"stage {index}", case["stage_losses"][index], distance)
        outcome.value(f"student {index}", case[f"s_refined{index}"], own.refined)
        outcome.value(f"teacher {index}", case[f"t_refined{index}"], given.refined)
        outcome.value(f"connected {index}", case[f"s_connected{index}"], connected)
        outcome.gradient(f"s_raw{index}", case[f"grad_s_raw{index}"], student[str(index)].grad)
        compare_gradients(case, outcome, f"s_cbam{index}", attention)
        compare_connector(case, outcome, f"connector{index}", connector)
    return outcome
