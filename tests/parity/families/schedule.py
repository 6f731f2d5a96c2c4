"""Learning-rate schedules: CIRKD's by iteration, AttnFD's by epoch and iteration, new layers at ten times the rate."""

import torch

from foglight.engine.schedule import cosine, poly
from parity.protocol import Case, Outcome

PREFIXES = ("poly_lr", "lrsched")
METHOD = None

ATTNFD_POWER = 0.9
ATTNFD_HEAD_MULTIPLE = 10


def run(case: Case) -> Outcome:
    outcome = Outcome()
    base = case.meta["base_lr"]
    if case.stem == "poly_lr":
        total, power = case.meta["max_iter"], case.meta["power"]
        rates = [base * poly(step, total, power=power) for step in case["it"].tolist()]
        outcome.value("rate", case["lr"], torch.tensor(rates, dtype=torch.float64))
        return outcome
    per_epoch = case.meta["iters_per_epoch"]
    total = case.meta["epochs"] * per_epoch
    steps = [epoch * per_epoch + iteration for epoch, iteration in case["epoch_iter"].tolist()]
    cosine_mode = case.meta["mode"] == "cos"
    factors = [cosine(step, total) if cosine_mode else poly(step, total, power=ATTNFD_POWER) for step in steps]
    multiples = [1] + [ATTNFD_HEAD_MULTIPLE] * (case["lr"].shape[1] - 1)
    rates = torch.tensor(
        [[base * factor * multiple for multiple in multiples] for factor in factors], dtype=torch.float64
    )
    outcome.value("rate", case["lr"], rates)
    return outcome
