"""Relational distillation: distances between images, and angles among triplets of them, follow the teacher's.

L_distance = 1/n^2 sum_ij h(d_S[i, j] / mean d_S - d_T[i, j] / mean d_T),  d[i, j] = |x_i - x_j|
L_angle = 1/n^3 sum_ijk h(a_S[i, j, k] - a_T[i, j, k]),  a[i, j, k] = cos of the angle at x_i between x_j and x_k

Symbols: x (n d) points, by default the mean of every image over space; h the Huber function (threshold 1); the mean of
distances is over the n (n - 1) pairs; entries with equal indices are zero and count in n^2 and n^3.
Source: Park et al. 2019, eq. 6-12; mdistiller `distillers/RKD.py` @ a08d46f, lenscloth/RKD @ 0a6c3c0; mmrazor
`relational_kd.py` @ 90c7af1 (`l2_norm`). Published weights: 25 for distances, 50 for angles.
Changed: distances and angles come from one Gram matrix, <x_j - x_i, x_k - x_i> = G_jk - G_ij - G_ik + G_ii, in place
of n*n*d differences; points that coincide have distance zero (1e-6 in mdistiller); `points`.
Cost: n*d + n^2 numbers and, of the n^3 angles, ANGLES_AT_ONCE at a time; no parameter. One process's own batch.
"""

from collections.abc import Callable
from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from foglight.functional.direction import SHORTEST, unit
from foglight.functional.pooling import Points, as_points
from foglight.functional.similarity import Geometry, geometry
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_positive, expect_teacher
from foglight.losses.paired_taps import Taps, paired_taps
from foglight.losses.tap_pairs import TapPair, required_taps
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

# Angles held at once: 16 MB in float32 for each of the few arrays that a chunk needs.
ANGLES_AT_ONCE: Final = 2**22


def relative_distances(squares: Float[Tensor, "n n"], *, squared: bool = False) -> Float[Tensor, "n n"]:
    """Distances between all points over their mean, from squared distances.

    >>> relative_distances(torch.tensor([[0.0, 4.0, 16.0], [4.0, 0.0, 4.0], [16.0, 4.0, 0.0]]))[0]
    tensor([0.0000, 0.7500, 1.5000])
    """
    distances = squares if squared else _where_apart(squares, torch.sqrt)
    pairs = max(len(squares) * (len(squares) - 1), 1)
    return distances / (distances.sum() / pairs).clamp_min(SHORTEST)


def distance_loss(student: Geometry, teacher: Geometry, *, squared: bool = False) -> Float[Tensor, ""]:
    """Mean Huber difference of relative distances."""
    ours, theirs = (relative_distances(side.squares, squared=squared) for side in (student, teacher))
    return F.smooth_l1_loss(ours, theirs)


def angle_loss(student: Geometry, teacher: Geometry) -> Float[Tensor, ""]:
    """Mean Huber difference of the cosines at every point between every two others."""
    count = len(student.gram)
    ours, theirs = (_where_apart(side.squares, torch.rsqrt) for side in (student, teacher))
    sides = student.gram, ours, teacher.gram, theirs
    rows = max(ANGLES_AT_ONCE // count**2, 1)
    if rows >= count:
        return _angle_sum(slice(None), *sides) / count**3
    # Recomputed in the backward pass: no more than one chunk of angles is ever held.
    sums = [
        checkpoint(_angle_sum, slice(start, start + rows), *sides, use_reentrant=False, preserve_rng_state=False)
        for start in range(0, count, rows)
    ]
    return torch.stack(sums).sum() / count**3


def _where_apart(squares: Float[Tensor, "n n"], function: Callable[[Tensor], Tensor]) -> Float[Tensor, "n n"]:
    """A function of the squared distance; zero, with a zero gradient, between points that coincide."""
    apart = squares > 0
    # Both branches must be finite, or the backward pass multiplies zero by infinity.
    return torch.where(apart, function(torch.where(apart, squares, 1.0)), 0.0)


def _angle_sum(
    anchors: slice,
    student: Float[Tensor, "n n"],
    student_inverse: Float[Tensor, "n n"],
    teacher: Float[Tensor, "n n"],
    teacher_inverse: Float[Tensor, "n n"],
) -> Float[Tensor, ""]:
    ours = _cosines(anchors, student, student_inverse)
    return F.smooth_l1_loss(ours, _cosines(anchors, teacher, teacher_inverse), reduction="sum")


def _cosines(anchors: slice, gram: Float[Tensor, "n n"], inverse: Float[Tensor, "n n"]) -> Float[Tensor, "anchors n n"]:
    rows = gram[anchors]
    at_anchor = gram.diagonal()[anchors, None, None]
    products = gram - rows.unsqueeze(2) - rows.unsqueeze(1) + at_anchor
    return products * inverse[anchors].unsqueeze(2) * inverse[anchors].unsqueeze(1)


@final
class RKD(DistillationLoss):
    """Huber differences of relative distances and of angles, summed over taps: terms `rkd_distance`, `rkd_angle`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`.
        tap: of both networks; several are summed.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        points: every image's mean over space, every image as one vector, or its cells. Two images have one distance
            and no angle: take `grid` for small batches.
        grid: cells along each axis where `points` is grid.
        squared: compare squared distances.
        l2_norm: give every point unit norm first (mmrazor).
    """

    card: ClassVar[Card] = Card(
        title="Distances between images, and angles among triplets of them, follow the teacher's.",
        equation="1/n^2 sum_ij h(d_S/mean d_S - d_T/mean d_T); 1/n^3 sum_ijk h(cos_S - cos_T), h Huber",
        source="Park et al., Relational knowledge distillation, CVPR 2019, eq. 6-12",
        implementation="megvii-research/mdistiller mdistiller/distillers/RKD.py @ a08d46f; lenscloth/RKD @ 0a6c3c0; "
        "open-mmlab/mmrazor models/losses/relational_kd.py @ 90c7af1",
        deviations="two terms, published weights 25 and 50 belong in the recipe; Gram matrices instead of differences, "
        "exact; points may be cells of a grid",
        cost="n d + n^2 numbers and at most 2^22 angles at a time; relations within one process's own batch",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: Taps = "head",
        student_tap: Taps | None = None,
        teacher_tap: Taps | None = None,
        points: Points = "pooled",
        grid: int = 4,
        squared: bool = False,
        l2_norm: bool = False,
    ) -> None:
        super().__init__()
        expect_teacher(teacher, "rkd")
        expect_positive(float(grid), "grid")
        self.pairs = paired_taps(tap, student_tap, teacher_tap)
        # Two images have one distance, which over its mean is always one, and no angle.
        self.requires = required_taps(self.pairs) | Requires(images=1 if points == "grid" else 3)
        self.points: Points = points
        self.grid = grid
        self.squared = squared
        self.l2_norm = l2_norm

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Both differences, summed over taps."""
        teacher = expect_teacher(teacher, "rkd")
        sides = [self._geometries(pair, student, teacher) for pair in self.pairs]
        return {
            "rkd_distance": torch.stack([distance_loss(*both, squared=self.squared) for both in sides]).sum(),
            "rkd_angle": torch.stack([angle_loss(*both) for both in sides]).sum(),
        }

    def _geometries(self, pair: TapPair, student: ModelOutput, teacher: ModelOutput) -> tuple[Geometry, Geometry]:
        features = student.features[pair.student], teacher.features[pair.teacher].detach()
        ours, theirs = as_points(*features, self.points, grid=self.grid)
        if self.l2_norm:
            ours, theirs = unit(ours), unit(theirs)
        return geometry(ours), geometry(theirs)
