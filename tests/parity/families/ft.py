"""Factor transfer: torchdistill's distance of factors, RepDistiller's form, and the paraphraser's own loss."""

from foglight.losses.features.ft import FT, factor_distance
from parity.inputs import batch
from parity.protocol import Case, Outcome
from parity.taps import compare_weights, copy_weights, numbered, pair_of

PREFIXES = ("ft", "ft_paraphraser", "ft_repdistiller")
METHOD = "ft"

DISTANCES = {1: "absolute", 2: "norm"}
REPDISTILLER_DISTANCES = {1: "absolute", 2: "square"}
CONVOLUTIONS = (0, 3, 6)
WITH_NORMS = (0, 1, 3, 4, 6, 7)


def run(case: Case) -> Outcome:
    if case.stem == "ft":
        return _factors(case)
    return _paraphraser(case) if case.stem == "ft_paraphraser" else _repdistiller(case)


def _factors(case: Case) -> Outcome:
    student = case.leaf("factor_student")
    total = factor_distance(student, case["factor_teacher"], distance=DISTANCES[case.meta["p"]])
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("factor_student", case["grad_factor_student"], student.grad)
    return outcome


def _paraphraser(case: Case) -> Outcome:
    teacher = case["teacher"]
    infos, outputs = pair_of(teacher, teacher)
    loss = FT(*infos, rate=case.meta["k"], reconstruction="square").double()
    weights = _paraphraser_weights(loss)
    copy_weights(case, weights)
    total = loss.adapt_loss(outputs[1], batch(len(teacher)))
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.value("factor", case["factor"], loss.paraphraser.encoder(teacher))
    outcome.value("reconstruction", case["reconstruction"], loss.paraphraser(teacher))
    compare_weights(outcome, case, weights)
    return outcome


def _repdistiller(case: Case) -> Outcome:
    student, teacher = case.leaf("student"), case["teacher"]
    infos, outputs = pair_of(student, teacher)
    loss = FT(
        *infos,
        rate=case.meta["k"],
        factor="map",
        power=float(case.meta["p1"]),
        distance=REPDISTILLER_DISTANCES[case.meta["p2"]],
    ).double()
    copy_weights(case, _paraphraser_weights(loss))
    loss.adapt_modules.requires_grad_(False).eval()
    layers = [layer for layer in loss.translator if list(layer.parameters())]
    weights = {name.replace("norm.", ""): value for name, value in numbered("tra_encoder", layers, WITH_NORMS).items()}
    copy_weights(case, weights)
    total = loss(*outputs, batch(len(student)))["ft"]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.value("factor_student", case["factor_student"], loss.translator(student))
    outcome.value("factor_teacher", case["factor_teacher"], loss.paraphraser.encoder(teacher))
    outcome.gradient("student", case["grad_student"], student.grad)
    compare_weights(outcome, case, weights)
    return outcome


def _paraphraser_weights(loss: FT) -> dict[str, object]:
    halves = {"par_encoder": loss.paraphraser.encoder, "par_decoder": loss.paraphraser.decoder}
    weights: dict[str, object] = {}
    for prefix, half in halves.items():
        weights |= numbered(prefix, [layer for layer in half if list(layer.parameters())], CONVOLUTIONS)
    return weights
