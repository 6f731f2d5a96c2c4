"""What a frame of fogtown can tell beside its picture: depth, inverse depth, disparity or surface normals, all exact.

    inverse depth 1 / Z,   disparity f b / Z,   normals from Z and the camera (`foglight.functional.surface_normals`)

Z depth in metres, f focal length in pixels, b the baseline of a stereo camera in metres. The sky and whatever lies
beyond 200 m has no depth; there Z is 200, where a sensor would see nothing, and the sky's normal faces the camera.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.data.town.render import TownFrame
from foglight.functional.surface_normals import Intrinsics, surface_normals
from foglight.types import NORMALS, ChannelKind

TownExtra = Literal["none", "depth", "inverse_depth", "disparity", "normals"]
BASELINE: Final = 0.54  # metres, as of KITTI's cameras

_MEASURED: Final[Mapping[TownExtra, Callable[[TownFrame], Float[Tensor, "x h w"]]]] = MappingProxyType(
    {
        "depth": lambda frame: _depth(frame)[None],
        "inverse_depth": lambda frame: 1 / _depth(frame)[None],
        "disparity": lambda frame: frame.camera.focal * BASELINE / _depth(frame)[None],
        "normals": lambda frame: surface_normals(_depth(frame), _intrinsics(frame)),
    }
)
_KINDS: Final[Mapping[TownExtra, tuple[ChannelKind, ...]]] = MappingProxyType(
    {
        "none": (),
        "depth": ("depth",),
        "inverse_depth": ("inverse_depth",),
        "disparity": ("disparity",),
        "normals": NORMALS,
    }
)
TOWN_EXTRAS: Final = tuple(_KINDS)


def town_extra(frame: TownFrame, extra: TownExtra) -> Float[Tensor, "x h w"] | None:
    """The channels of that name, None for `none`."""
    return None if extra == "none" else _MEASURED[extra](frame)


def town_kinds(extra: TownExtra) -> tuple[ChannelKind, ...]:
    """What these channels measure.

    >>> town_kinds("normals")
    ('normal_x', 'normal_y', 'normal_z')
    """
    return _KINDS[extra]


def _depth(frame: TownFrame) -> Float[Tensor, "h w"]:
    return torch.from_numpy(frame.depth)


def _intrinsics(frame: TownFrame) -> Intrinsics:
    (u, v), focal = frame.camera.centre, frame.camera.focal
    return Intrinsics(focal, focal, u - 0.5, v - 0.5)
