"""How far our numbers are from the published ones."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from parity.protocol import Comparison, Kind, Outcome

FLOAT64_TOLERANCE = 1e-6
FLOAT32_INSIDE_TOLERANCE = 1e-4
# Entries far below an array's largest are allowed an error relative to that one: sums cancel there.
SHARE_OF_MAXIMUM = 1e-3
ZERO = 1e-12


def tolerance(meta: Mapping[str, Any]) -> float:
    """Looser where the published code computes in float32 somewhere inside."""
    inside = any("float32" in str(value) for value in meta.values())
    return FLOAT32_INSIDE_TOLERANCE if inside else FLOAT64_TOLERANCE


def relative_error(comparison: Comparison) -> float:
    """Largest difference over largest expected magnitude; infinite where shapes differ or ours is NaN or infinite."""
    expected, actual = _double(comparison.expected), _double(comparison.actual)
    if expected.shape != actual.shape or not bool(torch.isfinite(actual).all()):
        return math.inf
    if expected.numel() == 0:
        return 0.0
    difference, scale = float((expected - actual).abs().max()), float(expected.abs().max())
    return difference / scale if scale > ZERO else difference


def worst(outcome: Outcome, kind: Kind) -> float | None:
    """The largest relative error of one kind; None where nothing of that kind was compared."""
    errors = [relative_error(comparison) for comparison in outcome.comparisons if comparison.kind == kind]
    return max(errors, default=None)


def failures(outcome: Outcome, rtol: float) -> list[str]:
    """One line for every comparison that is not close."""
    return [
        f"{comparison.kind} {comparison.label}: relative error {relative_error(comparison):.3g}, "
        f"expected shape {tuple(comparison.expected.shape)}, got {tuple(comparison.actual.shape)}"
        for comparison in outcome.comparisons
        if not _close(comparison, rtol if comparison.rtol is None else comparison.rtol)
    ]


def _close(comparison: Comparison, rtol: float) -> bool:
    expected, actual = _double(comparison.expected), _double(comparison.actual)
    if expected.shape != actual.shape:
        return False
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    return torch.allclose(actual, expected, rtol=rtol, atol=max(rtol * SHARE_OF_MAXIMUM * scale, ZERO))


def _double(values: Tensor) -> Tensor:
    return values.detach().double().cpu()
