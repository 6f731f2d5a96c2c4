"""Similarity-preserving distillation: images that are alike for the teacher are alike for the student.

L = 1/n^2 | N(X_S X_S') - N(X_T X_T') |^2

Symbols: X (n d): n points, by default every image as one long vector; N divides each row by its norm; ' the transpose;
|.| Frobenius norm.
Source: Tung & Mori 2019, eq. 2-4; mdistiller `distillers/SP.py` @ a08d46f and RepDistiller @ b84f547.
`row_norm: 1` is torchdistill's @ 3e4373c, whose call of `normalize(G, 1)` passes the order of the norm.
Changed: `points` may be cells of a grid or means, because a batch of two images has only one similarity.
Cost: n^2 numbers per network and tap; no parameter. Relations are those of one process's own batch.
"""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.direction import SHORTEST
from foglight.functional.pooling import Points, as_points
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_positive, expect_teacher
from foglight.losses.paired_taps import Taps, paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput, Requires


def similarity_distance(
    student: Float[Tensor, "n c"], teacher: Float[Tensor, "n d"], *, row_norm: Literal[1, 2] = 2
) -> Float[Tensor, ""]:
    """Mean squared difference of the similarity matrices with normalised rows.

    >>> similarity_distance(torch.eye(2), torch.ones(2, 1))
    tensor(0.2929)
    """
    ours, theirs = (_unit_rows(points @ points.T, order=row_norm) for points in (student, teacher))
    return (ours - theirs).square().mean()


def _unit_rows(gram: Float[Tensor, "n n"], *, order: int) -> Float[Tensor, "n n"]:
    length = torch.linalg.vector_norm(gram, ord=order, dim=1, keepdim=True)
    # A point of zeros is like no other; dividing its row by a tiny number would give its neighbours a huge gradient.
    return gram * torch.where(length > SHORTEST, length.clamp_min(SHORTEST).reciprocal(), 0.0)


@final
class SP(DistillationLoss):
    """Mean squared difference of similarity matrices, summed over taps: term `sp`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`; neither channels nor grid need agree for `flattened` and `pooled` points.
        tap: of both networks; several are summed.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        points: every image as one vector, its mean over space, or its cells.
        grid: cells along each axis where `points` is grid.
        row_norm: of the similarity matrix; 1 reproduces torchdistill.
    """

    card: ClassVar[Card] = Card(
        title="Images that are alike for the teacher are alike for the student.",
        equation="1/n^2 |N(X_S X_S') - N(X_T X_T')|^2, X the n images as rows, N divides each row by its norm",
        source="Tung & Mori, Similarity-preserving knowledge distillation, ICCV 2019, eq. 2-4",
        implementation="megvii-research/mdistiller mdistiller/distillers/SP.py @ a08d46f; HobbitLong/RepDistiller "
        "distiller_zoo/SP.py @ b84f547; torchdistill mid_level.py::SPKDLoss @ 3e4373c behind row_norm=1",
        deviations="points may be cells of a grid or means over space",
        cost="n^2 numbers per network and tap; similarities within one process's own batch",
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
        points: Points = "flattened",
        grid: int = 4,
        row_norm: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        expect_teacher(teacher, "sp")
        expect_positive(float(grid), "grid")
        self.pairs = paired_taps(tap, student_tap, teacher_tap)
        # One image as one point has only itself to be like; cells of one image have each other.
        self.requires = required_taps(self.pairs) | Requires(images=1 if points == "grid" else 2)
        self.points: Points = points
        self.grid = grid
        self.row_norm: Literal[1, 2] = row_norm

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The difference of similarities, summed over taps."""
        teacher = expect_teacher(teacher, "sp")
        values: list[Tensor] = []
        for pair in self.pairs:
            ours, theirs = as_points(
                student.features[pair.student],
                teacher.features[pair.teacher].detach(),
                self.points,
                grid=self.grid,
            )
            values.append(similarity_distance(ours, theirs, row_norm=self.row_norm))
        return {"sp": torch.stack(values).sum()}
