"""The textbook form of every loss: written down from its equation, in whole tensors and plain loops.

Each takes the loss (for its parameters and its random numbers), the student's and the teacher's output and the batch,
and returns the sum of its terms. They know the default options alone, and expect both networks on one grid.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor

from foglight.types import Batch, ModelOutput
from naive import adversarial, contrastive, features, learned, logits, relations, task

Naive = Callable[[Any, ModelOutput, ModelOutput, Batch], Tensor]

_FAMILIES: Final = (task, logits, features, learned, relations, contrastive, adversarial)
# By the name of the loss.
NAIVE: Final[Mapping[str, Naive]] = {
    name: form for family in _FAMILIES for name, form in vars(family).items() if name in family.FORMS
}
