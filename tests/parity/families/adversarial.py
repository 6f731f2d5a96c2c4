"""The adversarial losses of given scores, and the gradient penalty of a given critic."""

import torch
from torch import nn

from foglight.losses.adversarial.skd_holistic import deceived, gradient_penalty, hinge, wasserstein
from parity.protocol import Case, Outcome

PREFIXES = ("adv", "wgan_gp")
METHOD = "skd_holistic"


def run(case: Case) -> Outcome:
    return _penalty(case) if case.stem == "wgan_gp" else _scores(case)


def _scores(case: Case) -> Outcome:
    scores = {name: case.leaf(name) for name in ("d_out_student", "d_out_teacher")}
    form = hinge if case.meta["adv_type"] == "hinge" else wasserstein
    losses = {"G": deceived(scores["d_out_student"]), "D": form(scores["d_out_student"], scores["d_out_teacher"])}
    outcome = Outcome()
    outcome.value("total", case["loss"], losses["G"] + losses["D"])
    for player, loss in losses.items():
        outcome.value(player, case[f"loss_{player}"], loss)
        for name, gradient in zip(scores, torch.autograd.grad(loss, scores.values(), allow_unused=True), strict=True):
            outcome.gradient(f"{player} by {name}", case[f"grad_{player}__{name}"], gradient)
    return outcome


def _penalty(case: Case) -> Outcome:
    weights = {name: case.leaf(name) for name in ("w1", "b1", "w2")}

    def critic(logits: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.conv2d(logits, weights["w1"], weights["b1"], padding=1)
        return nn.functional.conv2d(nn.functional.leaky_relu(hidden, 0.1), weights["w2"], padding=1)

    share = case["alpha"].flatten()
    penalty = gradient_penalty(critic, case["student_logits"], case["teacher_logits"], share)
    loss = case.meta["lambda_gp"] * penalty
    outcome = Outcome()
    outcome.value("loss", case["loss"], loss)
    for name, gradient in zip(weights, torch.autograd.grad(loss, weights.values(), allow_unused=True), strict=True):
        outcome.gradient(name, case[f"grad_{name}"], gradient)
    return outcome
