"""Learning-rate schedules as pure functions of the step: what the base learning rate is multiplied by.

poly(s) = (1 - s/S)^p    cosine(s) = (1 + cos(pi*s/S)) / 2    warm-up(s) = min((s + 1)/W, 1), multiplied on top

Symbols: s the student update about to be made, S the budget in updates, p the power, W the length of the warm-up.
Source: Chen et al. 2018 (poly, 0.9); CIRKD `scripts/train_kd.py` @ dab64db; AttnFD `utils/lr_scheduler.py` @ f090bbe.
Changed: the warm-up starts at 1/W and not at 0, so that no update is wasted; past the end the multiplier is 0.
"""

import math


def poly(step: int, total: int, *, power: float = 0.9) -> float:
    """Polynomial decay to zero.

    Raises:
        ValueError: if the budget is empty or the step negative.

    >>> poly(0, 100), round(poly(50, 100), 4), poly(100, 100)
    (1.0, 0.5359, 0.0)
    """
    return (1 - _fraction(step, total)) ** power


def cosine(step: int, total: int) -> float:
    """Half a cosine to zero.

    Raises:
        ValueError: if the budget is empty or the step negative.

    >>> cosine(0, 100), round(cosine(50, 100), 4), cosine(100, 100)
    (1.0, 0.5, 0.0)
    """
    return (1 + math.cos(math.pi * _fraction(step, total))) / 2


def warmup(step: int, length: int) -> float:
    """A linear rise over the first `length` updates; 1 afterwards, and always where `length` is 0.

    >>> [warmup(step, 4) for step in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return min((step + 1) / length, 1.0) if length > 0 else 1.0


def _fraction(step: int, total: int) -> float:
    if total < 1 or step < 0:
        raise ValueError(f"expected a budget of at least one step and a step >= 0, got step {step} of {total}")
    return min(step / total, 1.0)
