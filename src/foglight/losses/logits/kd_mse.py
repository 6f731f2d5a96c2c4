"""The plainest distillation of logits: a mean square.

L = 1 / (N k) * sum_i sum_c (z_S[c, i] - z_T[c, i])^2

Symbols: z logits (b k h w), N = b*h*w positions, k classes.
Source: Ba & Caruana 2014, "Do deep nets really need to be deep?", section 2; Kim et al. 2021, "Comparing
Kullback-Leibler divergence and mean squared error loss in knowledge distillation", section 3.
Changed: the mean over classes, so that the size does not grow with k; `centred`, since a softmax does not see the mean
over the classes: then this is twice the limit of KD (with its tau^2) at an endless temperature.
Cost: one map of b*k*h*w numbers, which becomes the gradient, a second under a weight; no parameter.
"""

from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.masking import position_count, taught_positions
from foglight.functional.weighted_squares import squared_difference_sum
from foglight.losses.base import Card, PixelLoss, PixelMap, PixelWeight
from foglight.losses.expect import expect_same_classes, expect_teacher
from foglight.losses.paired_logits import corners_of, paired_logits
from foglight.types import Batch, Grid, ModelInfo, ModelOutput, Requires


def logit_square(
    student: Float[Tensor, "b k *grid"], teacher: Float[Tensor, "b k *grid"], *, centred: bool = False
) -> Float[Tensor, "b k *grid"]:
    """The squared difference of the logits, of their deviations from the mean over classes where `centred`.

    >>> import torch
    >>> logit_square(torch.tensor([[3.0, 1.0]]), torch.zeros(1, 2), centred=True)
    tensor([[1., 1.]])
    """
    if not centred:
        return F.mse_loss(student, teacher.detach(), reduction="none")
    difference = student - teacher.detach()
    return (difference - difference.mean(dim=1, keepdim=True)).square()


@final
class KDMSE(PixelLoss):
    """Mean square between the logits: term `kd_mse`.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        centred: compare the deviations from the mean over classes.
        mask_ignored: leave out pixels whose label is ignored; unlabelled images stay in.
        grid: distil on the head's grid, or on logits upsampled to the label's.
    """

    card: ClassVar[Card] = Card(
        title="The student's logits follow the teacher's by their mean square difference.",
        equation="1 / (b h w k) * sum_i sum_c (z_S - z_T)^2",
        source="Ba & Caruana, Do deep nets really need to be deep?, NeurIPS 2014, section 2; Kim et al., Comparing "
        "Kullback-Leibler divergence and mean squared error loss in knowledge distillation, IJCAI 2021, section 3",
        deviations="the mean over classes in place of their sum; mask_ignored and centred",
        cost="one map of b*k*h*w numbers, which becomes the gradient, a second under a pixel weight",
        tier="supported",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        centred: bool = False,
        mask_ignored: bool = False,
        grid: Grid = "head",
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "kd_mse")
        expect_same_classes(student, teacher, "kd_mse")
        self.requires = Requires(teacher=True)
        self.corners = corners_of(student, teacher)
        self.centred = centred
        self.mask_ignored = mask_ignored
        self.grid: Grid = grid

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The squares per class and pixel."""
        ours, theirs = paired_logits(
            student, expect_teacher(teacher, "kd_mse"), batch, corners=self.corners, grid=self.grid
        )
        return {"kd_mse": self._map(logit_square(ours, theirs, centred=self.centred), batch)}

    def weighted(
        self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch, weight: PixelWeight | None
    ) -> dict[str, Tensor]:
        """The sum of the map without the map; the same code with a weight and without."""
        ours, theirs = paired_logits(
            student, expect_teacher(teacher, "kd_mse"), batch, corners=self.corners, grid=self.grid
        )
        # A weight asks for the shape of a map and for what counts in it, not for its entries.
        pixel_map = self._map(ours, batch)
        total = squared_difference_sum(
            ours,
            theirs,
            weight=None if weight is None else weight("kd_mse", pixel_map, student, teacher, batch),
            valid=pixel_map.valid,
            centred=self.centred,
        )
        return {"kd_mse": pixel_map.share(total)}

    def _map(self, values: Float[Tensor, "b k *grid"], batch: Batch) -> PixelMap:
        valid = taught_positions(values, batch, mask_ignored=self.mask_ignored)
        return PixelMap(values, valid, values.shape[1] * position_count(values, valid), "none")
