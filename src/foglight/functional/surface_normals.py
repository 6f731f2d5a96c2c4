r"""Surface normals from depth and a pinhole camera, exact on planes.

    P = Z ((u - cx) / fx, (v - cy) / fy, 1),    n . P = const on a plane
    =>  q = 1/Z is affine in (u, v), and  n ~ -(fx q_u,  fy q_v,  q - q_u (u - cx) - q_v (v - cy))

Z depth in metres along the optical axis, u v column and row in pixels (centres at whole numbers), q inverse depth in
1/metre, q_u q_v its slopes, P metres with x to the right, y down and z ahead; n has length one and faces the camera:
the ground has n = (0, -1, 0). Each slope is the smaller in size of the differences to the two neighbours: on a plane
they are equal, also at the border, and beside a step of depth the one that does not cross it is right.

Source: Fan et al., SNE-RoadSeg (ECCV 2020), which takes q_u and q_v from inverse depth too. What we changed: n_z is
read off the plane's equation instead of a vote of eight neighbours, and no neighbour beyond an edge is asked; on noisy
depth the smaller slope leans towards surfaces that face the camera. Cost: some ten float64 maps of the depth's size.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor


@final
@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera, in pixels; pixel centres are whole numbers.

    Attributes:
        fx: focal length along columns.
        fy: focal length along rows.
        cx: column of the principal point.
        cy: row of the principal point.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def resized(self, old: tuple[int, int], new: tuple[int, int]) -> "Intrinsics":
        """The camera of a frame that was resized from `old` to `new` (height, width).

        >>> Intrinsics(100.0, 100.0, 49.5, 24.5).resized((50, 100), (100, 200))
        Intrinsics(fx=200.0, fy=200.0, cx=99.5, cy=49.5)
        """
        y, x = new[0] / old[0], new[1] / old[1]
        return Intrinsics(self.fx * x, self.fy * y, (self.cx + 0.5) * x - 0.5, (self.cy + 0.5) * y - 0.5)


@torch.no_grad()
def surface_normals(depth: Float[Tensor, "*b h w"], camera: Intrinsics) -> Float[Tensor, "*b 3 h w"]:
    """Unit normals that face the camera; the zero vector where depth is missing or has no neighbour in a direction.

    >>> road = 50.0 * 1.5 / torch.arange(1.0, 5.0).view(4, 1).expand(4, 4)  # 1.5 m above flat ground
    >>> normals = surface_normals(road, Intrinsics(50.0, 50.0, 1.5, -1.0))
    >>> bool(torch.allclose(normals[:, 2, 2], torch.tensor([0.0, -1.0, 0.0]), atol=1e-6))
    True

    Args:
        depth: metres; 0, negative and not finite mean missing.
        camera: that the depth was seen with, at the depth's own size.
    """
    height, width = depth.shape[-2:]
    wide = depth.double()
    inverse = torch.where(torch.isfinite(wide) & (wide > 0), 1 / wide, torch.nan)
    across, down = _slope(inverse, -1), _slope(inverse, -2)
    u = torch.arange(width, device=depth.device) - camera.cx
    v = torch.arange(height, device=depth.device)[:, None] - camera.cy
    towards = -torch.stack([camera.fx * across, camera.fy * down, inverse - across * u - down * v], dim=-3)
    # NaN, where nothing is known, becomes the zero vector.
    return torch.nan_to_num(torch.nn.functional.normalize(towards, dim=-3), nan=0.0).to(depth.dtype)


def _slope(values: Tensor, dim: int) -> Tensor:
    """The smaller in size of the differences to the previous and the next value; NaN where neither is known."""
    step = values.diff(dim=dim)
    nothing = torch.full_like(values.narrow(dim, 0, 1), torch.nan)
    before, after = torch.cat([nothing, step], dim), torch.cat([step, nothing], dim)
    take_before = torch.isnan(after) | (before.abs() < after.abs())
    return torch.where(take_before, before, after)
