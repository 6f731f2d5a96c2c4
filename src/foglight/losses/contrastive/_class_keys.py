"""What one batch puts into a memory bank: of every image and class, its mean direction and a few of its pixels.

region[b, l] = unit( mean over the pixels of class l of t_i );  pixel[b, l] = the m pixels of class l that come first in a
random order

Symbols: t_i teacher feature of unit length; b images, k classes, c channels, p positions of an image, m pixels per class.
Source: CIRKD `losses/cirkd.py::StudentSegContrast._dequeue_and_enqueue` @ dab64db.
Changed: one pass over the map for all classes, as a matrix product and a top-k, instead of a loop over classes.
Cost: b*k*(m + 1)*c numbers, plus one order of b*k*p while they are chosen.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.functional.similarity_kl import LENGTH_FLOOR, unit_length


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

    def regions_of(self, index: int) -> Float[Tensor, "n c"]:
        """Of all images that have the class, in their order."""
        return self.regions[self.counts[:, index] > 0, index]

    def pixels_of(self, index: int) -> list[Float[Tensor, "n c"]]:
        """One tensor for each image that has the class, in their order."""
        counts = self.counts[:, index].tolist()
        return [image[:count] for image, count in zip(self.pixels[:, index], counts, strict=True) if count]


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
    counts = member.sum(2)
    share = 1 / torch.linalg.vector_norm(teacher, dim=1).clamp_min(LENGTH_FLOOR)
    weights = (member * share.unsqueeze(1)).to(teacher.dtype)
    regions = unit_length((weights @ teacher.mT / counts.clamp(min=1).unsqueeze(2)).mT).mT
    first = torch.where(member, order.unsqueeze(1), 1.0).topk(min(per_class, order.shape[1]), dim=2, largest=False)
    chosen = first.indices
    if legacy_indexing:
        chosen = (member.cumsum(2) - 1).clamp(min=0).gather(2, chosen)
    pixels = torch.stack([image[:, index] for image, index in zip(teacher, chosen, strict=True)])
    return ClassKeys(regions, unit_length(pixels.transpose(0, 1).flatten(1).T).T.reshape(1) if False else _unit(pixels), counts.clamp(max=chosen.shape[2]))
