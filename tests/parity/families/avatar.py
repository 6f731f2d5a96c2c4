"""AvatarKD around CWD, MGD and MasKD, with its stored dropout and batch normalisation in train mode."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from foglight.losses.features.avatar import Avatar, Inner
from foglight.losses.features.maskd import MasKD
from foglight.losses.features.mgd import MGD
from foglight.types import Batch
from parity.families.maskd_det import copy_tokens
from parity.families.mgd import parameters
from parity.inputs import batch, info, output
from parity.protocol import Case, Outcome

PREFIXES = ("akd_cwd", "akd_mgd", "akd_maskd")
METHOD = "avatar"

INNER: dict[str, Inner] = {"akd_cwd": "cwd", "akd_mgd": "mgd", "akd_maskd": "maskd"}


def options(case: Case) -> dict[str, Any]:
    """Of the inner loss."""
    if case.stem == "akd_cwd":
        return {"temperature": float(case.meta["tau"])}
    if case.stem == "akd_mgd":
        return {"mask_ratio": float(case.meta["lambda_"]), "alpha": float(case.meta["alpha"])}
    return {
        "tokens": int(case.meta["tokens"]),
        "weigh_tokens": bool(case.meta["weight_mask"]),
        "student_masks_from": 0 if case.meta["custom_mask"] else None,
        "allow_random_tokens": True,
    }


def built(case: Case, student: Tensor, teacher: Tensor, logits: Tensor) -> Avatar:
    loss = Avatar(
        info(logits, {"head": student}),
        info(logits, {"head": teacher}),
        method=INNER[case.stem],
        options=options(case),
        rate=float(case.meta["drop_rate"]),
        normalise_teacher=case.stem != "akd_cwd",
    ).double()
    # The stored mask is 0 or 1 / (1 - rate); uniform numbers below the rate are dropped.
    uniform = (case["dropout_scale"] > 0).double()

    def draw(given: Batch, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        assert list(shapes.values()) == [tuple(uniform.shape)]
        return dict.fromkeys(shapes, uniform)

    loss.draw = draw
    if isinstance(loss.inner, MGD):
        loss.inner.draw = lambda given, shapes: {"mask": case["uniform"]}
        with torch.no_grad():
            for name, value in parameters(loss.inner).items():
                value.copy_(case[f"akd.mask_modules.0.{name}"])
    if isinstance(loss.inner, MasKD):
        copy_tokens(case, loss.inner.tokens, "akd.mask_modules.0.")
    return loss


def run(case: Case) -> Outcome:
    student, teacher = case.leaf("s"), case["t"]
    logits = torch.zeros(len(student), 2, *student.shape[2:], dtype=torch.float64)
    loss = built(case, student, teacher, logits)
    given = batch(len(student))
    terms = loss(output(logits, {"head": student}), output(logits, {"head": teacher}), given)
    total = float(case.meta.get("loss_weight", 1.0)) * terms[INNER[case.stem]]
    total.backward()
    outcome = Outcome()
    outcome.value("loss", case["loss"], total)
    outcome.gradient("s", case["grad_s"], student.grad)
    return outcome
