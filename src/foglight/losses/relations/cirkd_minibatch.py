"""Cross-image relations: a pixel is similar to the pixels of every image of the batch as it is in the teacher.

L = 1 / B^2 * sum_ab 1 / n_a * sum_{i in a} kl(t[i, b] || s[i, b]),  s[i, b] = softmax over j in b of (f_i . f_j / tau)

Symbols: f features at length one, (b c h w) and (b d h w); a, b run over the B images (a = b included), i and j over
their n positions; kl(teacher || student), tau temperature.
Source: Yang et al. 2022, "Cross-image relational knowledge distillation for semantic segmentation", eq. 5-7;
CIRKD `losses/cirkd_mini_batch.py` @ 2d8ad0f (2x2 average pooling for SegFormer: `pool=2`); at its head, dab64db, 4x4
where both sides have 256 positions: `pool=4, pool_from=256`.
Changed: rows are handled in strips, and the gradient of a strip, (p_s - p_t) K / (tau n B^2) through both operands of
the student's products, is made while it is at hand; no n x n matrix is kept. `mask_ignored`. No factor tau^2, as
published. Each process sees its own images only, as published.
Cost: (b n)^2 (3 c + d) multiply-adds as in the plain form; about (4 c + 3 d) b n numbers beside one strip of
`row_budget.BUDGET` bytes, where the plain form keeps about 6 (b n)^2 numbers.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, Final, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.direction import unit
from foglight.functional.known_gradient import with_gradient
from foglight.functional.masked_pooling import average_pool
from foglight.functional.masking import taught_positions
from foglight.functional.row_budget import rows_within_budget
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_positive
from foglight.losses.feature_pair import FeaturePair
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

# Both log-probabilities and the teacher's probability.
MATRICES: Final = 3


def cross_image_kl(
    student: Float[Tensor, "n c"], teacher: Float[Tensor, "n d"], positions: Sequence[int], *, temperature: float
) -> Float[Tensor, ""]:
    """The mean, over ordered pairs of images and rows of a pair, of the divergence of their similarities.

    Args:
        student: vectors at length one, image after image.
        teacher: likewise; it has no gradient.
        positions: how many vectors each image has; images without any form no pair.
        temperature: tau.

    >>> vectors = torch.eye(3)
    >>> cross_image_kl(vectors, vectors, [1, 2], temperature=0.1).item()
    0.0
    """
    images = tuple((end - count, end) for end, count in zip(accumulate(positions), positions, strict=True) if count)
    return with_gradient(student, *_mean_and_slope(student, teacher, images, temperature))


@torch.no_grad()
def _mean_and_slope(
    student: Float[Tensor, "n c"], teacher: Float[Tensor, "n d"], images: Sequence[tuple[int, int]], temperature: float
) -> tuple[Float[Tensor, ""], Float[Tensor, "n c"]]:
    total, gradient = student.new_zeros(()), torch.zeros_like(student)
    for key_start, key_end in images:
        keys, size = slice(key_start, key_end), student.element_size()
        strip = rows_within_budget(key_end - key_start, bytes_per_number=size, matrices=MATRICES)
        for start, end in images:
            share = 1 / ((end - start) * len(images) ** 2)
            for first in range(start, end, strip):
                rows = slice(first, min(first + strip, end))
                value, slope = _strip(student, teacher, rows, keys, temperature)
                total += share * value
                if student.requires_grad:
                    scale = share / temperature
                    gradient[rows].addmm_(slope, student[keys], alpha=scale)
                    gradient[keys].addmm_(slope.T, student[rows], alpha=scale)
    return total, gradient


def _strip(
    student: Tensor, teacher: Tensor, rows: slice, keys: slice, temperature: float
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows keys"]]:
    """The divergence summed over the rows, and p_s - p_t; in place, so that three matrices are alive at most."""
    log_student = torch.log_softmax((student[rows] / temperature) @ student[keys].T, dim=1)
    log_teacher = torch.log_softmax((teacher[rows] / temperature) @ teacher[keys].T, dim=1)
    probability = log_teacher.exp()
    value = log_teacher.sub_(log_student).mul_(probability).sum()
    return value, log_student.exp_().sub_(probability)


@final
class CIRKDMinibatch(DistillationLoss):
    """Divergence of the similarities between all pixels of all pairs of images: term `cirkd_minibatch`.

    Args:
        student: whose feature is trained.
        teacher: whose feature is followed; channels may differ.
        temperature: tau.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        pool: positions along one side of an averaged cell; 1 pools nothing.
        pool_from: positions that both sides of the grid must have to be pooled at all.
        mask_ignored: leave out positions whose label is ignored; unlabelled images stay in.

    Raises:
        ValueError: if a tap or the teacher is missing, or a number is not positive.
    """

    card: ClassVar[Card] = Card(
        title="A pixel is similar to the pixels of every image of the batch as it is in the teacher.",
        equation="mean over ordered pairs of images (a, b) and i in a of kl(t[i, b] || s[i, b]), the softmax over the "
        "positions j of b of f_i . f_j / tau, f at length one",
        source="Yang et al., Cross-image relational knowledge distillation for semantic segmentation, CVPR 2022, "
        "eq. 5-7",
        implementation="winycg/CIRKD losses/cirkd_mini_batch.py::CriterionMiniBatchCrossImagePair @ 2d8ad0f; pooling "
        "at dab64db behind pool=4, pool_from=256",
        deviations="a vector of zeros has no gradient; mask_ignored",
        cost="(b n)^2 (3 c + d) multiply-adds for n positions per image, in strips of 32 MiB; (4 c + 3 d) b n numbers",
        tier="recommended",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        temperature: float = 0.1,
        tap: str = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        pool: int = 1,
        pool_from: int = 0,
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        self.pair = FeaturePair(
            student, teacher, "cirkd_minibatch", student_tap=student_tap or tap, teacher_tap=teacher_tap or tap
        )
        # One image has no other to be compared with; what is left is a relation within it.
        self.requires = self.pair.requires | Requires(images=2)
        expect_positive(temperature, "temperature")
        expect_positive(float(pool), "pool")
        self.temperature = temperature
        self.pool = pool
        self.pool_from = pool_from
        self.mask_ignored = mask_ignored

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The mean over ordered pairs of images and over positions that count."""
        ours, theirs = self.pair(student, teacher)
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        if self.pool > 1 and min(ours.shape[2:]) >= self.pool_from:
            theirs, _ = average_pool(theirs, kernel=self.pool, valid=valid)
            ours, pooled = average_pool(ours, kernel=self.pool, valid=valid)
            valid = None if valid is None else pooled
        positions = [ours[0, 0].numel()] * len(ours) if valid is None else valid.flatten(1).sum(1).tolist()
        value = cross_image_kl(
            _directions(ours, valid), _directions(theirs, valid), positions, temperature=self.temperature
        )
        return {"cirkd_minibatch": value}


def _directions(feature: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"] | None) -> Float[Tensor, "n c"]:
    """The vectors that count, image after image, at length one."""
    vectors = feature.permute(0, 2, 3, 1)
    return unit(vectors.reshape(-1, feature.shape[1]) if valid is None else vectors[valid])
