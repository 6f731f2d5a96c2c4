"""Af-DCD's reconstruction and contrast with the stored mask, by either of its generators."""

import torch

from foglight.losses.contrastive.af_dcd import AfDCD
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("afdcd",)
METHOD = "af_dcd"

NAMES = {
    "align_": "align.convolution.",
    "projector_block_1_0_": "generator.first.",
    "projector_block_2_0_": "generator.second.",
    "projector_adpator_1_": "generator.shallow.",
    "projector_adpator_2_": "generator.deep.",
    "projector_0_": "generator.0.",
    "projector_2_": "generator.2.",
}


def parameters(case: Case) -> dict[str, str]:
    """Our parameter for every stored one."""
    return {
        f"{stored}{kind}": f"{ours}{kind}"
        for stored, ours in NAMES.items()
        for kind in ("weight", "bias")
        if f"{stored}{kind}" in case
    }


def built(case: Case) -> AfDCD:
    meta, student, teacher = case.meta, case["student_feat"], case["teacher_feat"]
    logits = student.new_zeros(len(student), 2, *student.shape[2:])
    camvid = meta["dataset"] == "camvid"
    loss = AfDCD(
        info(logits, {"layer4": student}),
        info(logits, {"layer4": teacher}),
        temperature=float(meta["tau"]),
        groups=int(meta["M"]),
        patch=(int(meta["patch_size"][0]), int(meta["patch_size"][1])),
        pool=1 if camvid else int(meta["pool_size"]),
        crop=int(meta["camvid_crop"]) if camvid else None,
        mask="random" if meta["rand_mask"] else "centre",
        mask_ratio=float(meta["mask_ratio"]),
        enhanced=bool(meta["enhance_projector"]),
    ).double()
    with torch.no_grad():
        for stored, ours in parameters(case).items():
            loss.get_parameter(ours).copy_(case[stored])
    # A uniform number of 0 keeps a position and one of 1 hides it.
    loss.draw = lambda given, shapes: {"mask": 1.0 - case["mask_keep"]}  # pyright: ignore[reportAttributeAccessIssue]
    return loss


def run(case: Case) -> Outcome:
    loss, student = built(case), case.leaf("student_feat")
    logits = student.new_zeros(len(student), 2, *student.shape[2:])
    teacher = output(logits, {"layer4": case["teacher_feat"]})
    terms = loss(output(logits, {"layer4": student}), teacher, batch(len(student)))
    leaves = {"student_feat": student, **{key: loss.get_parameter(path) for key, path in parameters(case).items()}}
    outcome = Outcome()
    for name in ("fd", "ctr"):
        outcome.value(name, case[f"loss_{name}"], terms[name])
        gradients = torch.autograd.grad(terms[name], list(leaves.values()), retain_graph=True)
        for key, gradient in zip(leaves, gradients, strict=True):
            outcome.gradient(f"{name} {key}", case[f"grad_{name}__{key}"], gradient)
    return outcome
