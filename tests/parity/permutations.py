"""Stored random permutations as the uniform numbers whose ranking they are."""

import torch
from torch import Tensor

from parity.protocol import Case


class Permutations:
    """The arrays `randperm_0`, `randperm_1`, ... of a case, handed out in that order."""

    def __init__(self, case: Case) -> None:
        self.case, self.given = case, 0

    def numbers(self, count: int) -> Tensor:
        """Numbers in [0, 1) whose argsort is the next permutation.

        Raises:
            AssertionError: if the next permutation is not one of `count`.
        """
        order = self.case[f"randperm_{self.given}"]
        assert len(order) == count, f"randperm_{self.given}: expected {count} entries, got {len(order)}"
        self.given += 1
        numbers = torch.empty(count, dtype=torch.float64)
        numbers[order] = torch.arange(count, dtype=torch.float64) / count
        return numbers
