"""What an audit keeps of one frame once its pixels are forgotten.

That is a 64-bit hash, a grey thumbnail of 12 x 16 cells, the label thinned to at most 96 pixels a side, and counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from foglight.data.audit.duplicates import difference_hash
from foglight.data.audit.problems import Problem, attempt
from foglight.data.cached import sample_nbytes
from foglight.data.folder import Frame
from foglight.data.images import RawMask, read_image, read_mask, require_same_size
from foglight.data.labels import LabelTable
from foglight.data.sample import Sample

THUMBNAIL: Final = (12, 16)
LONGEST_LABEL_SIDE: Final = 96
GREY_WEIGHTS: Final = (0.299, 0.587, 0.114)


@final
@dataclass(frozen=True)
class FrameFacts:
    """One frame.

    Attributes:
        id: of the frame.
        group: frames of one group are near-copies.
        size: height and width in pixels.
        class_pixels: by class.
        ignored_pixels: that say nothing.
        hash: see `duplicates`.
        thumbnail: grey cells.
        label: thinned; None for a frame without a mask.
        memory_bytes: that the frame takes when it is held in memory.
    """

    id: str
    group: str
    size: tuple[int, int]
    class_pixels: Int64[np.ndarray, " k"]
    ignored_pixels: int
    hash: int
    thumbnail: Float32[np.ndarray, " d"]
    label: UInt8[np.ndarray, "H W"] | None
    memory_bytes: int


def frame_facts(sample: Sample, group: str, *, num_classes: int) -> FrameFacts:
    """The facts of a frame."""
    grey = grey_image(sample.image)
    pixels, ignored, thin = np.zeros(num_classes, np.int64), 0, None
    if sample.labelled and sample.label is not None:
        label = sample.label.numpy()
        counts = np.bincount(label.ravel(), minlength=256)
        pixels, ignored = counts[:num_classes], int(counts[num_classes:].sum())
        step = -(-max(label.shape) // LONGEST_LABEL_SIDE)
        thin = np.ascontiguousarray(label[::step, ::step]).astype(np.uint8)
    return FrameFacts(
        id=sample.id,
        group=group,
        size=sample.size,
        class_pixels=pixels,
        ignored_pixels=ignored,
        hash=difference_hash(grey),
        thumbnail=F.adaptive_avg_pool2d(grey[None], THUMBNAIL).flatten().numpy(),
        label=thin,
        memory_bytes=sample_nbytes(sample),
    )


def grey_image(image: UInt8[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """Luma in [0, 255]."""
    return torch.einsum("c,chw->hw", torch.tensor(GREY_WEIGHTS), image.float())


@final
@dataclass(frozen=True)
class FileFacts:
    """What the files of one frame gave.

    Attributes:
        sample: None where image and mask cannot be used together.
        raw: pixels by raw mask value; empty where the mask cannot be read.
        colour: whether raw values are packed colours.
        problems: everything that is wrong with the two files.
    """

    sample: Sample | None
    raw: Mapping[int, int]
    colour: bool
    problems: tuple[Problem, ...]


def file_facts(frame: Frame, table: LabelTable) -> FileFacts:
    """Read an image and its mask; what is wrong with one does not hide what is wrong with the other."""
    problems: list[Problem] = []
    image = attempt("unreadable", partial(read_image, frame.image), problems)
    mask = attempt("unreadable", partial(read_mask, frame.mask), problems)
    label = None if mask is None else attempt("value", partial(table.apply, mask, frame.mask), problems)
    if image is not None and mask is not None:
        attempt("size", partial(require_same_size, frame.image, image, frame.mask, mask.values), problems)
    sample = None
    if image is not None and label is not None and image.shape[1:] == label.shape:
        sample = Sample(frame.id, image, label)
    raw = {} if mask is None else raw_counts(mask)
    return FileFacts(sample, raw, mask is not None and mask.colour, tuple(problems))


def raw_counts(mask: RawMask) -> dict[int, int]:
    """Pixels by raw value."""
    values, counts = np.unique(mask.values.numpy(), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
