"""What a reference case is, and what a family of cases hands back to be compared.

A family is a module in `tests/parity/families` with three names:

    PREFIXES: tuple[str, ...]     stems of its files without the trailing number; the longest prefix wins
    METHOD: str | None            the registry name that it exercises, None for what is not a loss
    def run(case: Case) -> Outcome

It may add `matches(case: Case) -> bool`, to tell apart two families of the same stem (`kd_1`, `kd_cirkd_1`) by their
arrays or meta; without it every case of its prefixes is its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

Kind = Literal["value", "gradient"]


@dataclass(frozen=True)
class Case:
    """One stored case.

    Attributes:
        name: path below the folder, without suffix, e.g. "seg/kd_cirkd_0".
        stem: family of the file, the name without folder and trailing number, e.g. "kd_cirkd".
        arrays: floats as float64, integers as int64, booleans as they are; no graph.
        meta: what the file says of itself.
    """

    name: str
    stem: str
    arrays: Mapping[str, Tensor]
    meta: Mapping[str, Any]

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def leaf(self, name: str) -> Tensor:
        """A fresh copy that asks for a gradient."""
        return self.arrays[name].clone().requires_grad_()


@dataclass(frozen=True)
class Comparison:
    """One array of the case beside ours; `rtol` None takes 1e-6, or 1e-4 where meta speaks of float32."""

    label: str
    expected: Tensor
    actual: Tensor
    kind: Kind = "value"
    rtol: float | None = None


@dataclass(frozen=True)
class Outcome:
    """Everything that one case compares."""

    comparisons: list[Comparison] = field(default_factory=list)

    def value(self, label: str, expected: Tensor, actual: Tensor, *, rtol: float | None = None) -> None:
        self.comparisons.append(Comparison(label, expected, actual.detach(), "value", rtol))

    def gradient(self, label: str, expected: Tensor, actual: Tensor | None, *, rtol: float | None = None) -> None:
        """`actual` is a `.grad`; None counts as zeros."""
        given = torch.zeros_like(expected) if actual is None else actual.detach()
        self.comparisons.append(Comparison(label, expected, given, "gradient", rtol))


class Family(Protocol):
    """A module of `tests/parity/families`."""

    PREFIXES: tuple[str, ...]
    METHOD: str | None

    def run(self, case: Case) -> Outcome: ...
