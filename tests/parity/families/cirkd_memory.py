"""CIRKD's memory bank with its published quirks: both terms, their gradients, and what the queues hold afterwards."""

from collections.abc import Mapping

import torch
from torch import Tensor

from foglight.functional.resize import resize_label
from foglight.losses.contrastive.cirkd_memory import CIRKDMemory
from foglight.types import Batch
from parity.inputs import batch, info, output
from parity.permutations import Permutations
from parity.protocol import Case, Outcome

PREFIXES = ("cirkd_memory",)
METHOD = "cirkd_memory"

PARAMETERS = {
    "proj_conv0_weight": "projector.enter.weight",
    "proj_bn_weight": "projector.norm.norm.weight",
    "proj_bn_bias": "projector.norm.norm.bias",
    "proj_conv3_weight": "projector.leave.weight",
}


def built(case: Case) -> CIRKDMemory:
    meta, classes = case.meta, int(case.meta["num_classes"])
    feature = case["student_feat"]
    logits = feature.new_zeros(len(feature), classes, *feature.shape[2:])
    loss = CIRKDMemory(
        info(logits, {"head": feature}),
        info(logits, {"head": case["teacher_feat_0"]}),
        temperature=float(meta["contrast_temperature"]) * float(meta["contrast_kd_temperature"]),
        pixel_memory_size=int(meta["pixel_memory_size"]),
        region_memory_size=int(meta["region_memory_size"]),
        # The published constructor takes keys per class; ours of all classes, and adds one to the quotient.
        pixel_contrast_size=(int(meta["pixel_contrast_size"]) - 1) * classes,
        region_contrast_size=(int(meta["region_contrast_size"]) - 1) * classes,
        pixel_update_size=int(meta["pixel_update_freq"]),
        legacy_indexing=True,
        legacy_wrap=True,
        legacy_unfilled=True,
    ).double()
    with torch.no_grad():
        for stored, name in PARAMETERS.items():
            loss.get_parameter(name).copy_(case[stored])
    loss.pixels.fill(case["queue_pixel_before"])
    loss.regions.fill(case["queue_segment_before"])
    return loss


def replay(loss: CIRKDMemory, case: Case) -> None:
    """Let `draw` hand out the stored permutations, in the order in which the published code took them."""
    stored = Permutations(case)

    def draw(given: Batch, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        assert given.label is not None
        label = resize_label(given.label, case["student_feat"].shape[2:]).flatten(1)
        if "store" not in shapes:
            # Published code returns before it draws slots where no position has a label.
            taught = bool((label != given.ignore_index).any())
            return {name: stored.numbers(shape[0]) if taught else torch.rand(shape) for name, shape in shapes.items()}
        numbers = torch.zeros(shapes["store"], dtype=torch.float64)
        for image, row in zip(numbers, label, strict=True):
            for index in row.unique().tolist():
                if index != given.ignore_index:
                    member = row == index
                    image[member] = stored.numbers(int(member.sum()))
        return {"store": numbers}

    loss.draw = draw  # pyright: ignore[reportAttributeAccessIssue]


def run(case: Case) -> Outcome:
    loss, steps = built(case), int(case.meta["steps"])
    replay(loss, case)
    student = case.leaf("student_feat")
    logits = student.new_zeros(len(student), loss.classes, *student.shape[2:])
    terms: dict[str, Tensor] = {}
    for step in range(steps):
        feature = student if step == steps - 1 else case[f"student_feat_step{step}"]
        given = batch(len(student), label=case[f"labels_{step}"], ignore_index=int(case.meta["ignore_label"]))
        teacher = output(logits, {"head": case[f"teacher_feat_{step}"]})
        terms = loss(output(logits, {"head": feature}), teacher, given)

    outcome = Outcome()
    leaves = {"student_feat": student, **{key: loss.get_parameter(path) for key, path in PARAMETERS.items()}}
    scale = float(case.meta["contrast_kd_temperature"]) ** 2
    for name in ("pixel", "region"):
        value = scale * terms[f"memory_{name}"]
        outcome.value(name, case[f"loss_{name}"], value)
        gradients = torch.autograd.grad(value, list(leaves.values()), retain_graph=True)
        for key, gradient in zip(leaves, gradients, strict=True):
            outcome.gradient(f"{name} {key}", case[f"grad_{name}__{key}"], gradient)
    for stored, memory in (("segment", loss.regions), ("pixel", loss.pixels)):
        outcome.value(f"{stored} queue", case[f"queue_{stored}_after"], memory.vectors)
        outcome.value(f"{stored} pointer", case[f"{stored}_ptr_after"], memory.head)
    return outcome
