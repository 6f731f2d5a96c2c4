"""What one batch puts into a memory bank: of every image and class, its mean direction and a few of its pixels.

region[b, l] = unit( mean over the pixels of class l of t_i );  pixel[b, l] = the m pixels of class l that come first in
a random order

Symbols: t_i teacher feature of unit length; b images, k classes, c channels, p positions of an image, m pixels a class.
Source: CIRKD `losses/cirkd_memory.py::StudentSegContrast._dequeue_and_enqueue` @ dab64db.
Changed: one pass over the map for all classes, as a matrix product and a top-k, instead of a loop over classes.
Cost: b*k*(m + 1)*c numbers, plus one order of b*k*p while they are chosen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.functional.direction import SHORTEST, unit
from foglight.functional.gather import gather_processes


@final
@dataclass(frozen=True)
class ClassKeys:
    """Vectors of unit length; those of a class that an image does not have are to be dropped.

    Attributes:
        regions: mean direction of the class.
        pixels: the first `counts` of them are of the class.
        counts: 0 where the image has no pixel of the class.
    """

    regions: Float[Tensor, "b k c"]
    pixels: Float[Tensor, "b k m c"]
    counts: Int[Tensor, "b k"]

    def gathered(self) -> "ClassKeys":
        """Those of the images of all processes."""
        return ClassKeys(*(gather_processes(part) for part in (self.regions, self.pixels, self.counts)))

    def by_class(self) -> Iterator[tuple[int, list[Float[Tensor, " c"]], list[Float[Tensor, "n c"]]]]:
        """A class, its regions and its pixels, one of each for every image that has it; absent classes are skipped."""
        for index, counts in enumerate(self.counts.T.tolist()):
            images = [image for image, count in enumerate(counts) if count]
            if images:
                regions = [self.regions[image, index] for image in images]
                yield index, regions, [self.pixels[image, index, : counts[image]] for image in images]


def class_keys(
    teacher: Float[Tensor, "b c p"],
    member: Bool[Tensor, "b k p"],
    order: Float[Tensor, "b p"],
    *,
    per_class: int,
    legacy_indexing: bool,
) -> ClassKeys:
    """The keys of every image and class.

    Args:
        teacher: of any length.
        member: which positions belong to which class.
        order: numbers in [0, 1); of a class the positions with the smallest are taken.
        per_class: most pixels of one class.
        legacy_indexing: read the position that the chosen pixel has within its class, as if the map held that class
            alone; published code does.
    """
    length = torch.linalg.vector_norm(teacher, dim=1, keepdim=True).clamp_min(SHORTEST)
    regions = unit(teacher @ (member / length).mT).mT
    chosen = torch.where(member, order.unsqueeze(1), 1.0).topk(min(per_class, order.shape[1]), largest=False).indices
    if legacy_indexing:
        chosen = (member.cumsum(2) - 1).clamp(min=0).gather(2, chosen)
    pixels = torch.stack([image[:, positions] for image, positions in zip(teacher, chosen, strict=True)])
    return ClassKeys(regions, unit(pixels).permute(0, 2, 3, 1), member.sum(2).clamp(max=chosen.shape[2]))
