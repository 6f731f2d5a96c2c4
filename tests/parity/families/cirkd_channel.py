"""CIRKDv2's channel terms with the published queue: values, gradients, and what the queue holds afterwards."""

from collections.abc import Mapping

import torch
from torch import Tensor

from foglight.losses.contrastive.cirkd_channel import CIRKDChannel
from foglight.types import Batch
from parity.families.cirkd_memory import PARAMETERS
from parity.inputs import batch, info, output
from parity.permutations import Permutations
from parity.protocol import Case, Outcome

PREFIXES = ("cirkdv2_channel",)
METHOD = "cirkd_channel"

TERMS = {"batch_channel": "channel_batch", "memory_channel": "channel_memory", "channel_mse": "channel_mse"}


def built(case: Case) -> CIRKDChannel:
    meta, feature = case.meta, case["student_feat"]
    pool = int(meta["avgpool"])
    logits = feature.new_zeros(len(feature), 2, *feature.shape[2:])
    loss = CIRKDChannel(
        info(logits, {"head": feature}),
        info(logits, {"head": case["teacher_feat"]}),
        temperature=float(meta["contrast_temperature"]) * float(meta["contrast_kd_temperature"]),
        memory_size=int(meta["channel_memory_size"]),
        contrast_size=int(meta["channel_contrast_size"]),
        update_size=int(meta["channel_update_freq"]),
        pool=pool,
        grid=(feature.shape[2] // pool, feature.shape[3] // pool),
        legacy_wrap=True,
        legacy_unfilled=True,
    ).double()
    with torch.no_grad():
        for stored, name in PARAMETERS.items():
            loss.get_parameter(name).copy_(case[stored])
    loss.memory.fill(case["queue_before"].unsqueeze(0))
    stored_permutations = Permutations(case)

    def draw(given: Batch, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        return {name: stored_permutations.numbers(shape[0]) for name, shape in shapes.items()}

    loss.draw = draw  # pyright: ignore[reportAttributeAccessIssue]
    return loss


def run(case: Case) -> Outcome:
    loss, student = built(case), case.leaf("student_feat")
    logits = student.new_zeros(len(student), 2, *student.shape[2:])
    teacher = output(logits, {"head": case["teacher_feat"]})
    terms = loss(output(logits, {"head": student}), teacher, batch(len(student)))

    outcome = Outcome()
    leaves = {"student_feat": student, **{key: loss.get_parameter(path) for key, path in PARAMETERS.items()}}
    scale = float(case.meta["contrast_kd_temperature"]) ** 2
    for stored, term in TERMS.items():
        value = terms[term] if term == "channel_mse" else scale * terms[term]
        outcome.value(stored, case[f"loss_{stored}"], value)
        gradients = torch.autograd.grad(value, list(leaves.values()), retain_graph=True)
        for key, gradient in zip(leaves, gradients, strict=True):
            outcome.gradient(f"{stored} {key}", case[f"grad_{stored}__{key}"], gradient)
    outcome.value("queue", case["queue_after"], loss.memory.vectors[0])
    outcome.value("pointer", case["ptr_after"], loss.memory.head)
    return outcome
