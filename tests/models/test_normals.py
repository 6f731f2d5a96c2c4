"""Are normals exact on planes, right beside edges, and silent where nothing was measured?"""

import math

import pytest
import torch
from torch import Tensor

from foglight.functional.extra_channels import flip_extra
from foglight.functional.surface_normals import Intrinsics, surface_normals
from foglight.types import NORMALS

CAMERA = Intrinsics(fx=72.0, fy=70.0, cx=30.5, cy=19.0)
SIZE = (40, 64)


def rays(camera: Intrinsics = CAMERA, size: tuple[int, int] = SIZE) -> Tensor:
    """The point at depth one of every pixel, "3 h w"."""
    v, u = torch.meshgrid(torch.arange(size[0]).double(), torch.arange(size[1]).double(), indexing="ij")
    return torch.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, torch.ones_like(u)])


def plane(normal: tuple[float, float, float], point: tuple[float, float, float]) -> tuple[Tensor, Tensor]:
    """Depth of a plane where the camera sees it in front of itself, and its unit normal towards the camera."""
    unit = torch.nn.functional.normalize(torch.tensor(normal).double(), dim=0)
    distance = unit @ torch.tensor(point).double()
    depth = distance / torch.einsum("c,chw->hw", unit, rays())
    seen = torch.where((depth > 0) & (depth < 300), depth, 0.0)
    return seen, unit if distance < 0 else -unit


def angle(normals: Tensor, truth: Tensor) -> Tensor:
    """Radians between them, from the chord: the cosine has no digits left near zero."""
    return 2 * torch.asin((normals.double() - truth.view(3, 1, 1)).norm(dim=0).clamp(max=2) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("normal", "point"),
    [
        ((0.0, -1.0, 0.0), (0.0, 1.65, 0.0)),
        ((0.0, 0.0, 1.0), (0.0, 0.0, 40.0)),
        ((0.3, -0.2, -1.0), (0.0, 0.0, 12.0)),
        ((-1.0, 0.1, 0.2), (3.0, 0.0, 0.0)),
        ((0.5, 0.6, 0.7), (0.0, 0.0, 80.0)),
    ],
)
def test_a_plane_has_its_own_normal_everywhere(normal, point, dtype: torch.dtype) -> None:
    depth, truth = plane(normal, point)
    normals = surface_normals(depth.to(dtype), CAMERA)
    away = torch.nn.functional.avg_pool2d((depth > 0).double()[None], 3, stride=1, padding=1)[0] > 0.99
    assert away.sum() > 300
    assert angle(normals, truth)[away].max() < 1e-4
    assert normals.dtype == dtype


def test_beside_a_step_of_depth_each_side_keeps_its_normal() -> None:
    near, truth = plane((0.3, -0.2, -1.0), (0.0, 0.0, 5.0))
    far, other = plane((-0.2, -0.1, -1.0), (0.0, 0.0, 60.0))
    left = torch.arange(SIZE[1]) < 20
    normals = surface_normals(torch.where(left, near, far), CAMERA)
    assert angle(normals, truth)[:, :20].max() < 1e-4
    assert angle(normals, other)[:, 20:].max() < 1e-4


def test_missing_depth_has_no_normal_and_spoils_no_neighbour() -> None:
    depth, truth = plane((0.3, -0.2, -1.0), (0.0, 0.0, 12.0))
    depth[10, 10], depth[20, 30], depth[30, 5] = 0.0, math.nan, -1.0
    normals = surface_normals(depth, CAMERA)
    holes = torch.zeros(SIZE, dtype=torch.bool)
    holes[10, 10] = holes[20, 30] = holes[30, 5] = True
    assert (normals[:, holes] == 0).all()
    assert angle(normals, truth)[~holes].max() < 1e-4


def test_nothing_measured_is_all_zero() -> None:
    assert not surface_normals(torch.zeros(2, 4, 5), CAMERA).any()


def test_a_mirrored_scene_has_mirrored_normals() -> None:
    depth, _ = plane((0.3, -0.2, -1.0), (0.0, 0.0, 12.0))
    mirrored = Intrinsics(CAMERA.fx, CAMERA.fy, SIZE[1] - 1 - CAMERA.cx, CAMERA.cy)
    flipped = flip_extra(surface_normals(depth, CAMERA), NORMALS)
    assert torch.allclose(surface_normals(depth.flip(-1), mirrored), flipped, atol=1e-9)


def test_a_resized_camera_sees_the_same_rays() -> None:
    """The corners of the frame, half a pixel outside the outer centres, stay where they are."""
    new = (60, 160)
    resized = CAMERA.resized(SIZE, new)
    for old_u, new_u in ((-0.5, -0.5), (SIZE[1] - 0.5, new[1] - 0.5)):
        assert (old_u - CAMERA.cx) / CAMERA.fx == pytest.approx((new_u - resized.cx) / resized.fx)
    for old_v, new_v in ((-0.5, -0.5), (SIZE[0] - 0.5, new[0] - 0.5)):
        assert (old_v - CAMERA.cy) / CAMERA.fy == pytest.approx((new_v - resized.cy) / resized.fy)
