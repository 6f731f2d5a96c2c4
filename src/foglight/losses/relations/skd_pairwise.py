"""Pair-wise distillation: nodes of the student's feature are as similar to each other as those of the teacher's.

L = 1 / (b n^2) * sum_b sum_ij (s_i . s_j - t_i . t_j)^2,  s_i = f_i / ||f_i||_2, f the pooled feature, t likewise

Symbols: features (b c h w) and (b d h w), max-pooled in cells to n nodes per image; . the inner product over channels.
Source: Liu et al. 2019, "Structured knowledge distillation for semantic segmentation", eq. 2; CIRKD `losses/skd.py`
@ 2d8ad0f, irfanICMLL/structure_knowledge_distillation `utils/criterion.py` @ ce208e1.
Changed: the gradient goes through the length by default, as in CIRKD and as the equation says (`norm_gradient`); SKD's
own code stops it there and pools by a share of the grid (`node_share`). `mask_ignored`.
Cost: no n x n matrix. The difference is symmetric, so strips of rows from the diagonal on suffice: n^2 (c + d) / 2
multiply-adds for the value and n^2 c for the gradient, half of the plain form, in `row_budget.BUDGET` bytes. The Gram
form over channels is cheaper still, but its value is a difference of large numbers and is lost near convergence.
"""

from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.direction import unit
from foglight.functional.known_gradient import with_gradient
from foglight.functional.masked_pooling import Kernel, maximum_pool
from foglight.functional.masking import taught_positions
from foglight.functional.row_budget import rows_within_budget
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_positive
from foglight.losses.feature_pair import FeaturePair
from foglight.types import Batch, ModelInfo, ModelOutput

# Added to a length that takes no part in the gradient; SKD's own.
ADDED_TO_LENGTH: Final = 1e-8
# The difference and its square.
MATRICES: Final = 2


def pairwise_error(student: Float[Tensor, "b n c"], teacher: Float[Tensor, "b n d"]) -> Float[Tensor, ""]:
    """The sum of (s_i . s_j - t_i . t_j)^2 over images and ordered pairs of nodes; the teacher has no gradient.

    >>> pairwise_error(torch.eye(2)[None], torch.ones(1, 2, 1)).item()
    2.0
    """
    return with_gradient(student, *_sum_and_slope(student, teacher))


@torch.no_grad()
def _sum_and_slope(
    student: Float[Tensor, "b n c"], teacher: Float[Tensor, "b n d"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "b n c"]]:
    total, gradient = student.new_zeros(()), torch.zeros_like(student)
    nodes = student.shape[1]
    rows = rows_within_budget(nodes, bytes_per_number=student.element_size(), matrices=MATRICES)
    for ours, theirs, slope in zip(student, teacher, gradient, strict=True):
        for start in range(0, nodes, rows):
            strip, rest, after = slice(start, start + rows), slice(start, None), slice(start + rows, None)
            difference = ours[strip] @ ours[rest].T
            difference.addmm_(theirs[strip], theirs[rest].T, alpha=-1)
            diagonal, beyond = difference[:, :rows], difference[:, rows:]
            # What lies beyond the diagonal block stands for its mirror image too.
            total += diagonal.square().sum() + 2 * beyond.square().sum()
            if student.requires_grad:
                slope[strip].addmm_(difference, ours[rest], alpha=4)
                slope[after].addmm_(beyond.T, ours[strip], alpha=4)
    return total, gradient


@final
class SKDPairwise(DistillationLoss):
    """Squared difference of the similarities of all pairs of nodes: term `skd_pairwise`.

    Args:
        student: whose feature is trained.
        teacher: whose feature is followed; channels may differ.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        pool: positions along one side of a node.
        node_share: side of a node as a share of the grid's, rounded down, in place of `pool`; SKD's own code takes 0.5,
            which on odd grids makes 3x3 nodes, the last of one position.
        norm_gradient: whether the gradient sees that nodes are brought to length one.
        mask_ignored: leave out positions whose label is ignored; unlabelled images stay in.

    Raises:
        ValueError: if a tap or the teacher is missing, or a size is not positive.
    """

    card: ClassVar[Card] = Card(
        title="Nodes of the student's feature are as similar to each other as those of the teacher's.",
        equation="1 / (b n^2) * sum_b sum_ij (s_i . s_j - t_i . t_j)^2, s and t max-pooled features at length one",
        source="Liu et al., Structured knowledge distillation for semantic segmentation, CVPR 2019, eq. 2",
        implementation="winycg/CIRKD losses/skd.py::CriterionStructuralKD @ 2d8ad0f; "
        "irfanICMLL/structure_knowledge_distillation utils/criterion.py::CriterionPairWiseforWholeFeatAfterPool "
        "@ ce208e1 behind node_share=0.5, norm_gradient=False",
        deviations="gradient through the length (SKD's code stops it); a node of zeros has no gradient; mask_ignored",
        cost="n^2 (c + d) / 2 + n^2 c multiply-adds for n nodes, in strips of 32 MiB; one copy of the pooled features",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        pool: int = 2,
        node_share: float | None = None,
        norm_gradient: bool = True,
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        self.pair = FeaturePair(
            student, teacher, "skd_pairwise", student_tap=student_tap or tap, teacher_tap=teacher_tap or tap
        )
        self.requires = self.pair.requires
        expect_positive(float(pool), "pool")
        if node_share is not None and not 0 < node_share <= 1:
            raise ValueError(f"expected a node_share in (0, 1], got {node_share}")
        self.pool = pool
        self.node_share = node_share
        self.norm_gradient = norm_gradient
        self.mask_ignored = mask_ignored

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The mean over images and pairs of nodes that count."""
        ours, theirs = self.pair(student, teacher)
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        kernel = self._kernel(ours)
        nodes, counted = maximum_pool(ours, kernel=kernel, valid=valid)
        teacher_nodes, _ = maximum_pool(theirs, kernel=kernel, valid=valid)
        # A node that does not count is zero in both networks, so that its pairs do not differ.
        error = pairwise_error(self._directions(nodes), self._directions(teacher_nodes))
        pairs = counted.flatten(1).sum(1).square().sum()
        return {"skd_pairwise": error / pairs.clamp(min=1)}

    def _kernel(self, feature: Float[Tensor, "b c h w"]) -> Kernel:
        if self.node_share is None:
            return self.pool
        height, width = (max(1, int(self.node_share * side)) for side in feature.shape[2:])
        return height, width

    def _directions(self, nodes: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
        vectors = nodes.flatten(2).transpose(1, 2)
        if self.norm_gradient:
            return unit(vectors, dim=2)
        return vectors / (torch.linalg.vector_norm(vectors.detach(), dim=2, keepdim=True) + ADDED_TO_LENGTH)
