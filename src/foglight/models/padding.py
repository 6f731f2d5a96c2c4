"""Pad an image to a multiple that an architecture needs, and crop its maps back.

Padding repeats the border at the right and the bottom; a map of h' rows, computed from H' padded rows, keeps its first
ceil(h' H / H') rows, so that row i still stands for the same pixels.
"""

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


@final
@dataclass(frozen=True)
class Padding:
    """From one image size to the next one that is a multiple.

    Attributes:
        size: height and width in pixels.
        padded: the same after padding.
    """

    size: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def to_multiple(cls, size: tuple[int, int], multiple: int) -> "Padding":
        """The smallest padding that makes both sides divisible.

        >>> Padding.to_multiple((65, 64), 32).padded
        (96, 64)
        """
        height, width = size
        return cls(size, (-(-height // multiple) * multiple, -(-width // multiple) * multiple))

    def pad(self, image: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c padded_H padded_W"]:
        """The image itself where nothing is to be done."""
        if self.size == self.padded:
            return image
        bottom, right = self.padded[0] - self.size[0], self.padded[1] - self.size[1]
        return F.pad(image, (0, right, 0, bottom), mode="replicate")

    def crop(self, values: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *cropped"]:
        """A map of the padded image cut to the image's part; vectors and maps of unpadded images stay as they are."""
        if self.size == self.padded or values.ndim != 4:
            return values
        rows, columns = (
            -(-grid * size // padded)
            for grid, size, padded in zip(values.shape[2:], self.size, self.padded, strict=True)
        )
        return values[:, :, :rows, :columns]
