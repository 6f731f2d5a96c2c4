"""One frame as a data set hands it out, and how frames become a batch.

Shapes: x extra channels, H W the frame. Images are bytes here and floats in [0, 1] in the batch; labels are class
indices with 255 where nothing is said. A frame without a mask is unlabelled, which is not the same as ignored.

Extra channels are floats, and `extra_kinds` says what each one measures (`foglight.types.ChannelKind`), one entry per
channel, because moving a frame changes some of them: a resize by s multiplies disparity (pixels) by s and leaves metres
alone, a flip negates the x of normals. A reader of files therefore hands out, for instance,
`Sample(..., extra=depth[None], extra_kinds=("depth",))` or `Sample(..., extra=normals, extra_kinds=NORMALS)`, with 0
(for normals the zero vector) at every pixel without a measurement, and gives its `DataInfo` the same kinds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from foglight.errors import DataError
from foglight.types import IGNORE_INDEX, Batch, ChannelKind

BYTE_RANGE: Final = 255.0


def identity_geometry() -> Float[Tensor, "2 3"]:
    """The affine map of a frame that nothing has moved."""
    return torch.eye(2, 3)


@final
@dataclass(frozen=True)
class Sample:
    """One frame.

    Attributes:
        id: unique in its data set; the file's stem or a frame's name.
        image: red, green, blue bytes.
        label: class indices, 255 where nothing is said; None for a frame without a mask.
        extra: depth in metres, disparity in pixels, normals or any further channels; 0 where nothing was measured.
        extra_kinds: what each extra channel measures; empty counts as `other` for all of them.
        labelled: whether the frame has a mask at all.
        geometry: maps a position (x, y, 1) of this frame to the stored frame, both counted in pixels with pixel
            centres at whole numbers.
    """

    id: str
    image: UInt8[Tensor, "3 H W"]
    label: Integer[Tensor, "H W"] | None
    extra: Float[Tensor, "x H W"] | None = None
    labelled: bool = True
    geometry: Float[Tensor, "2 3"] = field(default_factory=identity_geometry)
    extra_kinds: tuple[ChannelKind, ...] = ()

    def __post_init__(self) -> None:
        channels = 0 if self.extra is None else len(self.extra)
        if self.extra_kinds and len(self.extra_kinds) != channels:
            raise ValueError(
                f"expected one kind per extra channel of {self.id!r}, got {len(self.extra_kinds)} for {channels}"
            )
        if self.labelled and self.label is None:
            raise ValueError(f"expected a label for the labelled sample {self.id!r}, got none; pass labelled=False")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[1], self.image.shape[2]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack frames of one size; an unlabelled frame gets a label that is ignored everywhere.

    Raises:
        DataError: if the frames differ in size, or in their extra channels.
    """
    sizes = {sample.size: sample.id for sample in samples}
    if len(sizes) > 1:
        (first, a), (second, b), *_ = sizes.items()
        raise DataError(
            f"frames of one batch differ in size: {a} is {first[0]}x{first[1]}, {b} is {second[0]}x{second[1]}",
            remedy="set data.augment.crop (height, width), or data.size to resize every frame",
        )
    labels = [_label_or_ignored(sample) for sample in samples]
    return Batch(
        image=torch.stack([sample.image for sample in samples]).float() / BYTE_RANGE,
        extra=_stack_extra(samples),
        label=torch.stack(labels).long(),
        labelled=torch.tensor([sample.labelled for sample in samples]),
        ids=tuple(sample.id for sample in samples),
        geometry=torch.stack([sample.geometry for sample in samples]),
        extra_kinds=samples[0].extra_kinds,
    )


def _label_or_ignored(sample: Sample) -> Tensor:
    if sample.label is None or not sample.labelled:
        return torch.full(sample.size, IGNORE_INDEX, dtype=torch.int64)
    return sample.label.long()


def _stack_extra(samples: Sequence[Sample]) -> Tensor | None:
    extras = [sample.extra for sample in samples if sample.extra is not None]
    if not extras:
        return None
    if len(extras) < len(samples):
        bare = next(sample.id for sample in samples if sample.extra is None)
        raise DataError(
            f"{bare} has no extra channels (depth or others) while other frames of its batch have",
            remedy="give every frame its extra channels, or switch them off in data.options",
        )
    kinds = {(len(extra), sample.extra_kinds): sample.id for sample, extra in zip(samples, extras, strict=True)}
    if len(kinds) > 1:
        ((count, one), a), ((other_count, other), b), *_ = kinds.items()
        raise DataError(
            f"frames of one batch differ in their extra channels: {a} has {count} ({', '.join(one) or 'unnamed'}), "
            f"{b} has {other_count} ({', '.join(other) or 'unnamed'})",
            remedy="give every frame the same extra channels",
        )
    return torch.stack(extras)
