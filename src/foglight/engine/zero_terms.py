"""A term that is exactly zero in batch after batch trains nothing: that is a mistake, not a success."""

from collections.abc import Collection, Mapping
from typing import Final, final

from torch import Tensor

from foglight.errors import RefusedError

BATCHES: Final = 2


@final
class ZeroTerms:
    """Watches the first batches of a run.

    Args:
        allow: refusals that are lifted; this one is called `zero-loss`.
    """

    def __init__(self, allow: Collection[str]) -> None:
        self._seen = 0
        self._always_zero: set[str] = set()
        self._lifted = "zero-loss" in allow

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        """Look at one batch's terms.

        Raises:
            RefusedError: for a term that was exactly zero in each of the first two batches.
        """
        if self._lifted or self._seen >= BATCHES:
            return
        zero = {name for name, value in terms.items() if value.item() == 0.0}
        self._always_zero = zero if self._seen == 0 else self._always_zero & zero
        self._seen += 1
        if self._seen == BATCHES and self._always_zero:
            raise RefusedError(
                "zero-loss",
                f"the loss term {', '.join(sorted(self._always_zero))} is exactly zero in the first {BATCHES} batches",
                remedy="check that teacher and student are different networks and that the batches have labels",
            )
