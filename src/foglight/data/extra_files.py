"""Extra channels of an own folder: 16-bit PNG with a stated scale, NumPy arrays, or what `foglight make-depth` wrote.

A PNG holds counts, and the scale says what one count is in the unit of its kind: 0.001 for depth in millimetres.
Nothing guesses it, because a depth that is wrong by a factor trains without complaint. A NumPy array holds the values
themselves, "h w" or "x h w". In both, 0 means not measured; so does, in an array, anything that is not finite.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foglight.data.dataset import SegmentationDataset
from foglight.data.depth_files import SIDECAR, DepthFormat, WithExtra, read_depth, with_made_depth
from foglight.errors import ConfigurationError, DataError
from foglight.types import ChannelKind

PNG: Final = ".png"
NUMPY: Final = ".npy"
CHANNEL_KINDS: Final[Mapping[str, ChannelKind]] = {kind: kind for kind in get_args(ChannelKind)}


def with_extra_folder(
    dataset: SegmentationDataset,
    images: Sequence[Path],
    folder: Path,
    *,
    kinds: Sequence[str],
    scale: float | None,
) -> WithExtra:
    """Frames with the extra channels that lie in a folder under the same stems.

    Args:
        dataset: the frames; their ids are the stems.
        images: the image file of each frame.
        folder: of the extra channels; one that `make-depth` wrote says itself what it holds.
        kinds: what each channel measures.
        scale: unit of the kind per count of a PNG; None where there are only arrays.

    Raises:
        DataError: if the folder or the file of a frame is missing.
        ConfigurationError: for kinds that there are not, or a scale that is none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of extra channels", remedy="check data.root and data.options.extra")
    if (folder / SIDECAR).is_file():
        return with_made_depth(dataset, images, folder)
    known = _known(kinds)
    if scale is not None and not scale > 0:
        raise ConfigurationError(
            f"data.options.extra_scale: expected a number above 0, got {scale}", remedy="give units per count"
        )
    files = [_file_of(stem, folder) for stem in dataset.ids]
    return WithExtra(dataset, files, read=partial(read_extra, kinds=known, scale=scale), kinds=known)


def read_extra(path: Path, *, kinds: Sequence[ChannelKind], scale: float | None) -> Float[Tensor, "x H W"]:
    """The channels in a file, 0 where nothing was measured.

    Raises:
        DataError: if the file is damaged or of another shape, needs a scale, or measures nothing at all.
    """
    values = _array(path) if path.suffix == NUMPY else _counts(path, kinds[0], scale)
    if len(values) != len(kinds):
        raise DataError(
            f"{path}: expected {len(kinds)} channel(s) ({', '.join(kinds)}), got {len(values)}",
            remedy="name one kind per channel in data.options.extra_kinds",
        )
    return values


def _known(kinds: Sequence[str]) -> tuple[ChannelKind, ...]:
    found = tuple(CHANNEL_KINDS[kind] for kind in kinds if kind in CHANNEL_KINDS)
    if not found or len(found) != len(kinds):
        raise ConfigurationError(
            f"data.options.extra_kinds: expected kinds of channels, got {', '.join(kinds) or 'none'}",
            remedy=f"take some of {', '.join(CHANNEL_KINDS)}",
        )
    return found


def _file_of(stem: str, folder: Path) -> Path:
    for suffix in (NUMPY, PNG):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise DataError(
        f"{folder}: no extra channels of the frame {stem}",
        remedy=f"add {stem}{PNG} (16 bits) or {stem}{NUMPY}, or leave data.options.extra out",
    )


def _counts(path: Path, kind: ChannelKind, scale: float | None) -> Tensor:
    if scale is None:
        raise DataError(
            f"{path}: a PNG holds counts, and their scale is not known",
            remedy="set data.options.extra_scale to units per count, such as 0.001 for millimetres",
        )
    return read_depth(path, DepthFormat(kind, scale))


def _array(path: Path) -> Tensor:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: cannot be read as an array ({' '.join(str(error).split())})", remedy="write it again or remove it"
        ) from error
    if values.ndim not in (2, 3) or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: expected numbers of shape (H, W) or (x, H, W), got {values.dtype} of shape {values.shape}",
            remedy="write it again",
        )
    values = np.where(np.isfinite(values), values, 0).astype(np.float32)
    if not values.any():
        raise DataError(
            f"{path}: all {values.size} values are 0, which means not measured", remedy="write it again or remove it"
        )
    return torch.from_numpy(values if values.ndim == 3 else values[None])
