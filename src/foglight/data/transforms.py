"""Joint augmentation: image, label and extra channels move together, and the map back to the stored frame is kept.

In order: whole-image resize, scale jitter, padding at the bottom and right, random crop, flip, colour jitter. Images
are resized bilinearly with antialiasing; labels and extra channels by nearest neighbour, so that no class and no depth
is invented at an edge; depth stays in metres, disparity is multiplied by the scale and the x of normals is negated by
a flip (`foglight.functional.extra_channels`). Padding is grey in the image (the mean of ImageNet, near zero once a
network has normalised), ignored in the label and 0, which means not measured, in the extra channels.

Source: scale, pad, crop and flip as the CIRKD family trains (its 16 steps of scale are a continuous range here).
Cost: one resize of the frame; colour jitter touches only the crop.
"""

from dataclasses import dataclass, replace
from typing import Final, final

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from foglight.data import geometry
from foglight.data.sample import Sample
from foglight.functional.extra_channels import flip_extra, resize_extra
from foglight.types import IGNORE_INDEX

PAD_COLOUR: Final = (124.0, 116.0, 104.0)
PAD_EXTRA: Final = 0.0

Size = tuple[int, int]


def resize_sample(sample: Sample, size: Size) -> Sample:
    """The whole frame at another size (height, width)."""
    if sample.size == size:
        return sample
    image = F.resize(tv_tensors.Image(sample.image), list(size), InterpolationMode.BILINEAR, antialias=True)
    return replace(
        sample,
        image=_plain(image),
        label=_resize_nearest(sample.label, size),
        extra=None if sample.extra is None else resize_extra(sample.extra, sample.extra_kinds, size),
        geometry=geometry.compose(sample.geometry, geometry.resized(sample.size, size)),
    )


def pad_sample(sample: Sample, size: Size) -> Sample:
    """Padding at the bottom and right up to at least `size`; the frame itself does not move."""
    bottom, right = (max(wanted - got, 0) for wanted, got in zip(size, sample.size, strict=True))
    if not bottom and not right:
        return sample
    padding = [0, 0, right, bottom]
    return replace(
        sample,
        image=_plain(F.pad(tv_tensors.Image(sample.image), padding, fill=list(PAD_COLOUR))),
        label=None if sample.label is None else _plain(F.pad(tv_tensors.Mask(sample.label), padding, IGNORE_INDEX)),
        extra=None if sample.extra is None else _plain(F.pad(tv_tensors.Mask(sample.extra), padding, PAD_EXTRA)),
    )


def crop_sample(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """A window of the frame."""
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    return replace(
        sample,
        image=sample.image[:, rows, columns],
        label=None if sample.label is None else sample.label[rows, columns],
        extra=None if sample.extra is None else sample.extra[:, rows, columns],
        geometry=geometry.compose(sample.geometry, geometry.cropped(top, left)),
    )


def flip_sample(sample: Sample) -> Sample:
    """Left and right exchanged."""
    return replace(
        sample,
        image=sample.image.flip(-1),
        label=None if sample.label is None else sample.label.flip(-1),
        extra=None if sample.extra is None else flip_extra(sample.extra, sample.extra_kinds),
        geometry=geometry.compose(sample.geometry, geometry.flipped(sample.size[1])),
    )


def jitter_colour(sample: Sample, brightness: float, contrast: float, saturation: float) -> Sample:
    """The image with brightness, contrast and saturation multiplied in this order; nothing else changes."""
    image = F.adjust_brightness(tv_tensors.Image(sample.image), brightness)
    image = F.adjust_saturation(F.adjust_contrast(image, contrast), saturation)
    return replace(sample, image=_plain(image))


def _resize_nearest(values: Tensor | None, size: Size) -> Tensor | None:
    return (
        None
        if values is None
        else _plain(F.resize(tv_tensors.Mask(values), list(size), InterpolationMode.NEAREST_EXACT))
    )


def _plain(values: Tensor) -> Tensor:
    return values.as_subclass(Tensor)


@final
@dataclass(frozen=True)
class Augment:
    """Random augmentation that is a pure function of the frame and a seed; the global random state is not touched.

    Attributes:
        crop: height and width of what comes out. Without it the frame's own size, or `resize`.
        resize: height and width of the whole frame first. Without a crop the whole resized frame comes out: there is
            then no scale jitter.
        scale: range of the scale jitter.
        flip: probability of a left-right flip.
        colour_jitter: s; brightness, contrast and saturation are each multiplied by a factor in [max(0, 1 - s), 1 + s].
    """

    crop: Size | None = None
    resize: Size | None = None
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    colour_jitter: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"expected a scale range (low, high) with 0 < low <= high, got {self.scale}")

    def __call__(self, sample: Sample, seed: int) -> Sample:
        """The augmented frame."""
        # One vector of draws, always of the same length: switching one part off leaves the others as they were.
        draws = torch.rand(7, generator=torch.Generator().manual_seed(seed)).tolist()
        sample = self._window(sample, *draws[:3])
        if draws[3] < self.flip:
            sample = flip_sample(sample)
        if self.colour_jitter > 0:
            low, high = max(0.0, 1 - self.colour_jitter), 1 + self.colour_jitter
            sample = jitter_colour(sample, *(low + (high - low) * draw for draw in draws[4:]))
        return sample

    def fits(self, size: Size) -> bool:
        """Whether the crop fits into a frame of that size at the largest scale, so that it is not all padding."""
        if self.crop is None:
            return True
        size = size if self.resize is None else self.resize
        return all(wanted <= round(got * self.scale[1]) for wanted, got in zip(self.crop, size, strict=True))

    def _window(self, sample: Sample, zoom: float, down: float, across: float) -> Sample:
        if self.resize is not None and self.crop is None:
            return resize_sample(sample, self.resize)
        whole = sample.size if self.resize is None else self.resize
        crop = whole if self.crop is None else self.crop
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * zoom
        # Whole-image resize and scale jitter are one resize: a second one would only blur.
        height, width = (max(1, round(length * scale)) for length in whole)
        sample = pad_sample(resize_sample(sample, (height, width)), crop)
        # A draw is below one, so the offset is one of 0..room, each equally likely.
        top, left = (
            int(draw * (length - wanted + 1))
            for draw, length, wanted in zip((down, across), sample.size, crop, strict=True)
        )
        return crop_sample(sample, top, left, crop)
