"""Inter-channel correlation: the student's channels resemble one another as the teacher's do.

G = F F',  L = 1/(b c p) * sum over images and patches of | G_S / |G_S| - G_T / |G_T| |^2, each ROW of unit length

Symbols: F (c n) the feature of one patch with n positions, the student's after BN(conv1x1); G (c c); ' the transpose; p
patches per image.
Source: Liu et al. 2021 (ICKD), section 3; ADLab-AutoDrive/ICKD `Cifar100` @ 403b8d3. Its segmentation code is not
released: the mean over patches is ours.
Changed: where a patch has fewer positions than a third of the channels, G is never formed. With K_ab = F_a' F_b (n n),
<G_S[i], G_T[i]> = (F_S K_ST F_T')[i, i] and |G_a[i]|^2 = (F_a K_aa F_a')[i, i], so that c*c*n products become 3*c*n*n;
a zero row counts as zero, without the gradient of 1e12 that an epsilon gives it.
Cost: c_S*c_T + 2*c_T parameters; the smaller of 2*b*p*c*c and 3*b*c*n*p + 3*b*p*n*n numbers beside the connected map.
"""

from typing import ClassVar, Final, final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.direction import direction_distance, inverse_length
from foglight.functional.masking import taught_positions
from foglight.functional.resize import resize
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_teacher
from foglight.losses.normalised_connector import NormalisedConnector
from foglight.losses.paired_taps import paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

# The form without G takes three products of n*n*c where G takes one of c*c*n (the teacher's side has no backward pass).
PRODUCTS_WITHOUT_G: Final = 3


def correlation_distance(student: Float[Tensor, "b c n"], teacher: Float[Tensor, "b c n"]) -> Float[Tensor, " b"]:
    """Mean over the rows of the squared distance between row-normalised channel correlations, per image.

    Args:
        student: c channels at n positions.
        teacher: on the same positions; carries no gradient.

    >>> correlation_distance(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[2.0, 4.0], [6.0, 8.0]]])).item()
    0.0
    """
    teacher = teacher.detach()
    if PRODUCTS_WITHOUT_G * student.shape[2] < student.shape[1]:
        return _without_correlations(student, teacher)
    return direction_distance(student @ student.mT, teacher @ teacher.mT, 2).mean((1, 2))


def _without_correlations(student: Float[Tensor, "b c n"], teacher: Float[Tensor, "b c n"]) -> Float[Tensor, " b"]:
    """|u - v|^2 = |u|^2 + |v|^2 - 2 u.v of rows u and v of length one or zero."""
    alive, inverse = _row_lengths(student)
    alive_teacher, inverse_teacher = _row_lengths(teacher)
    dot = ((student @ (student.mT @ teacher)) * teacher).sum(2)
    rows = alive + alive_teacher - 2 * dot * inverse * inverse_teacher
    return rows.mean(1)


def _row_lengths(feature: Float[Tensor, "b c n"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Which rows of G are not zero, and the inverse of their length."""
    return inverse_length(((feature @ (feature.mT @ feature)) * feature).sum(2))


def patches(feature: Float[Tensor, "b c h w"], grid: tuple[int, int]) -> list[Float[Tensor, "b c n"]]:
    """The map cut into rows times columns of nearly equal patches, each flattened; empty ones are left out.

    >>> [patch.shape[2] for patch in patches(torch.zeros(1, 1, 3, 4), (2, 2))]
    [4, 4, 2, 2]
    """
    rows, columns = grid
    cut = [patch for row in feature.tensor_split(rows, 2) for patch in row.tensor_split(columns, 3)]
    return [patch.flatten(2) for patch in cut if patch.numel()]


@final
class ICKD(DistillationLoss):
    """Distance between row-normalised inter-channel correlations: term `ickd`.

    Args:
        student: whose feature is trained.
        teacher: whose feature is followed, as it is.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        grid: rows and columns of patches, each with a correlation of its own.
        mask_ignored: leave out positions whose label is ignored; the connector's BatchNorm still sees them.
    """

    card: ClassVar[Card] = Card(
        title="The student's channels resemble one another as the teacher's do.",
        equation="1/(b c p) sum |G_S/|G_S| - G_T/|G_T||^2 by row, G = F F' per patch, F_S = BN(conv1x1(f_S))",
        source="Liu et al., Exploring inter-channel correlation for diversity-preserved knowledge distillation, "
        "ICCV 2021, section 3",
        implementation="ADLab-AutoDrive/ICKD Cifar100 ICKDLoss @ 403b8d3; published weight 2.5 (CIFAR-100)",
        deviations="grid: no segmentation code was released, the mean over patches is ours; the teacher's unused "
        "embedding is not built",
        cost="a 1x1 connector with BatchNorm; the smaller of 2*b*p*c^2 and 3*b*p*(c*n + n^2) numbers, n positions per "
        "patch; c^2*n or 3*c*n^2 products per side",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str = "layer4",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        grid: tuple[int, int] = (1, 1),
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "ickd")
        if min(grid) < 1:
            raise ValueError(f"expected a grid of at least one row and column, got {grid}")
        (self.pair,) = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps([self.pair])
        self.connector = NormalisedConnector(
            student.tap(self.pair.student).channels, teacher.tap(self.pair.teacher).channels
        )
        self.grid = grid
        self.mask_ignored = mask_ignored

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The distance, averaged over images and patches."""
        ours: Tensor = self.connector(student.features[self.pair.student])
        theirs = expect_teacher(teacher, "ickd").features[self.pair.teacher]
        theirs = resize(theirs, ours.shape[2:], align_corners=False)
        taught = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        if taught is not None:
            inside = taught.unsqueeze(1)
            ours, theirs = torch.where(inside, ours, 0.0), torch.where(inside, theirs, 0.0)
        if ours.ndim == 2:
            ours, theirs = ours[:, :, None, None], theirs[:, :, None, None]
        pairs = zip(patches(ours, self.grid), patches(theirs, self.grid), strict=True)
        return {"ickd": torch.stack([correlation_distance(*pair).mean() for pair in pairs]).mean()}
