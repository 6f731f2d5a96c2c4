"""What attention makes of a feature, for a loss that compares refined features and for a person who wants to see them.

Shapes: b batch, c channels, h w the tap's grid.
"""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from foglight.types import ModelOutput


@final
@dataclass(frozen=True)
class Refinement:
    """One tap of one network.

    Attributes:
        tap: its name.
        raw: the feature as the network has it.
        refined: the same after attention, before any connector.
    """

    tap: str
    raw: Float[Tensor, "b c h w"]
    refined: Float[Tensor, "b c h w"]


@runtime_checkable
class RefinesFeatures(Protocol):
    """A loss that can show its features raw and refined."""

    def refinements(self, student: ModelOutput, teacher: ModelOutput) -> list[tuple[Refinement, Refinement]]:
        """Of student and teacher, tap by tap."""
        ...
