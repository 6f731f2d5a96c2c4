"""Contrast inside small patches: a piece of the student's feature is nearest to the same piece of the teacher's.

l[v] = -log( exp(s[v, v]) / sum over v' in A(v) of exp(s[v, v']) ),  s[v, v'] = -||S_v - T_v'||_1 / tau,  v in A(v)

A patch has n positions and the channels fall into g contiguous groups, so that v is a pair (position, group).
A(v): `spatial` every position, channels whole (g = 1); `channel` every group at the same position; `omni` every pair;
`omni_code` every pair of another group, and v itself, which is what the released code does.

Symbols: S, T student and teacher (b c h w); u sets of v vectors of d channels each.
Source: Fan et al. 2023, "Augmentation-free dense contrastive knowledge distillation"; OSVAI/Af-DCD @ 5b086a7.
Changed: rows and columns beyond the last whole patch are left out and too few channels make fewer groups, where
published code stops; sets are taken in strips with the gradient made at once, so that u*v*v numbers are never held.
Cost: one gradient of the student's size; beside it one strip of `row_budget.BUDGET` bytes.
"""

from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.known_gradient import with_gradient
from foglight.functional.row_budget import rows_within_budget

Mode = Literal["spatial", "channel", "omni", "omni_code"]
# Distances, their masked and scaled form, and the gradient of either.
MATRICES: Final = 4


def omni_contrast(
    student: Float[Tensor, "b c h w"],
    teacher: Float[Tensor, "b c h w"],
    *,
    mode: Mode,
    groups: int,
    patch: tuple[int, int],
    temperature: float,
) -> Float[Tensor, ""]:
    """The sum of l over all pieces, divided by the number of positions.

    Args:
        student: the map that is trained.
        teacher: without gradient.
        mode: which pieces of the teacher a piece is told from.
        groups: into which the channels fall; the largest divisor of the channels that is not above it is taken.
        patch: rows and columns; smaller where the map is.
        temperature: tau.

    >>> one = torch.ones(1, 2, 1, 1)
    >>> round(omni_contrast(one, one, mode="channel", groups=2, patch=(1, 1), temperature=1.0).item(), 4)
    1.3863
    """
    many = 1 if mode == "spatial" else max(n for n in range(1, groups + 1) if student.shape[1] % n == 0)
    rows, columns = min(patch[0], student.shape[2]), min(patch[1], student.shape[3])
    ours, theirs = (_pieces(feature, many, rows, columns) for feature in (student, teacher.detach()))
    positions = ours.shape[0] * ours.shape[1]
    sets = (0, 1) if mode == "channel" else (1, 2)
    ours, theirs = ours.flatten(*sets), theirs.flatten(*sets)
    allowed = _allowed(mode, rows * columns, many, student.device)
    return with_gradient(ours, *_sum_and_slope(ours, theirs, allowed, temperature)) / positions


def _pieces(feature: Float[Tensor, "b c h w"], groups: int, rows: int, columns: int) -> Float[Tensor, "p n g d"]:
    images, channels, height, width = feature.shape
    down, across = height // rows, width // columns
    whole = feature[:, :, : down * rows, : across * columns]
    pieces = whole.reshape(images, groups, channels // groups, down, rows, across, columns)
    return pieces.permute(0, 3, 5, 4, 6, 1, 2).reshape(-1, rows * columns, groups, channels // groups)


def _allowed(mode: Mode, positions: int, groups: int, device: torch.device) -> Bool[Tensor, "v v"] | None:
    """Which pieces may stand in the sum; None for all."""
    if mode != "omni_code":
        return None
    group = torch.arange(groups, device=device).repeat(positions)
    return (group.unsqueeze(0) != group.unsqueeze(1)) | torch.eye(len(group), dtype=torch.bool, device=device)


@torch.no_grad()
def _sum_and_slope(
    student: Float[Tensor, "u v d"],
    teacher: Float[Tensor, "u v d"],
    allowed: Bool[Tensor, "v v"] | None,
    temperature: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, "u v d"]]:
    total, gradient = student.new_zeros(()), torch.empty_like(student)
    pieces, channels = student.shape[1:]
    # The gradient of distances is one matrix per channel on a GPU.
    matrices = MATRICES if student.device.type == "cpu" else MATRICES + channels
    strip = rows_within_budget(pieces**2, bytes_per_number=student.element_size(), matrices=matrices)
    for ours, theirs, slope in zip(student.split(strip), teacher.split(strip), gradient.split(strip), strict=True):
        with torch.enable_grad():
            leaf = ours.detach().requires_grad_()
            value = _cross_entropy(leaf, theirs, allowed, temperature)
        slope.copy_(torch.autograd.grad(value, leaf)[0])
        total += value.detach()
    return total, gradient


def _cross_entropy(
    student: Float[Tensor, "u v d"],
    teacher: Float[Tensor, "u v d"],
    allowed: Bool[Tensor, "v v"] | None,
    temperature: float,
) -> Float[Tensor, ""]:
    similarity = torch.cdist(student, teacher, p=1.0) / -temperature
    others = similarity if allowed is None else similarity.masked_fill(~allowed, -torch.inf)
    return (others.logsumexp(2) - similarity.diagonal(dim1=1, dim2=2)).sum()
