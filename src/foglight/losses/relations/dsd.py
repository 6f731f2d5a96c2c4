"""Double similarity: where activity differs between layers, and how classes spread over space, follow the teacher.

L_pixel = mean over pairs m < n of 1 / (b h w) * sum_i (r_mn[i] - r'_mn[i])^2,  r_mn = unit(unit(a_n) - unit(a_m)),
a_m[i] = sum_c f_m[c, i]^2
L_class = 1 / (b k^2) * sum_cd (G[c, d] - G'[c, d])^2,  G = P P^T,  P = softmax over positions of pooled z / tau

Symbols: f_m the tapped features and, last, the logits z, all on the logits' grid (b c h w); unit divides by the length
over the positions of an image; ' the teacher's.
Source: Feng et al. 2021, "Double similarity distillation for semantic image segmentation", eq. 2-9; CIRKD
`losses/dsd.py` @ 2d8ad0f, which takes the auxiliary logits, the head's feature and the logits.
Changed: taps are named; published code counts positions from the end of a list and so compares the logits with
themselves where a network has no auxiliary head. `mask_ignored`.
Cost: one vector of h w numbers per tap; k^2 and k h w / 4 numbers for the classes. The class term is about 1e-6 on
large maps, since a softmax over thousands of positions is nearly flat: its weight must be large to matter.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foglight.functional.direction import unit
from foglight.functional.kl import log_softmax_over_space
from foglight.functional.masked_pooling import average_pool
from foglight.functional.masking import position_count, taught_positions
from foglight.functional.resize import resize
from foglight.functional.square_sum import square_sum
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.losses.feature_pair import FeaturePair
from foglight.types import Batch, ModelInfo, ModelOutput, Requires


def attention(values: Float[Tensor, "b c h w"], valid: Bool[Tensor, "b h w"] | None) -> Float[Tensor, "b n"]:
    """Squares summed over channels, zero where not valid, as a vector of length one per image.

    >>> attention(torch.tensor([[[[3.0, 0.0]], [[0.0, 2.0]]]]).sqrt(), None)
    tensor([[0.8321, 0.5547]])
    """
    activity = square_sum(values)
    if valid is not None:
        activity = torch.where(valid, activity, 0.0)
    return unit(activity.flatten(1))


def residuals(attentions: Sequence[Float[Tensor, "b n"]]) -> Float[Tensor, "pairs b n"]:
    """Where later maps differ from earlier ones, each at length one."""
    return torch.stack([unit(later - earlier) for earlier, later in combinations(attentions, 2)])


def class_gram(
    logits: Float[Tensor, "b k h w"], valid: Bool[Tensor, "b h w"] | None, *, temperature: float, pool: int
) -> Float[Tensor, "b k k"]:
    """Inner products of the classes' distributions over pooled positions."""
    pooled, counted = average_pool(logits, kernel=pool, valid=valid)
    mask = None if valid is None else counted
    probability = log_softmax_over_space(pooled, temperature=temperature, valid=mask).exp().flatten(2)
    return probability @ probability.transpose(1, 2)


@final
class DSD(DistillationLoss):
    """Pixel-wise similarity of layers and class-wise similarity of distributions: terms `dsd_pixel` and `dsd_class`.

    Args:
        student: whose features and logits are trained.
        teacher: of as many classes.
        taps: of both networks, in order of execution; the logits follow them. A network whose auxiliary head is a tap
            gives the published triple.
        student_taps: where the names differ.
        teacher_taps: where the names differ.
        temperature: tau of the class term.
        pool: positions along one side of a cell that the class term averages first.
        mask_ignored: leave out positions whose label is ignored; unlabelled images stay in.

    Raises:
        ValueError: if a tap or the teacher is missing, the numbers of taps or classes differ, or a number is not
            positive.
    """

    card: ClassVar[Card] = Card(
        title="Where activity differs between layers, and how classes spread over space, follow the teacher.",
        equation="mean over pairs of layers and positions of (r - r')^2, r the difference of two attention maps, all "
        "at length one; 1 / (b k^2) * sum (P P^T - P' P'^T)^2, P the softmax over positions of pooled logits / tau",
        source="Feng et al., Double similarity distillation for semantic image segmentation, TIP 2021, eq. 2-9",
        implementation="winycg/CIRKD losses/dsd.py::CriterionDoubleSimKD @ 2d8ad0f",
        deviations="taps are named, published code indexes a list; residuals of equal maps have no gradient; "
        "mask_ignored",
        cost="h w numbers per tap; k h w / 4 and k^2 numbers for the class term",
        tier="for comparison",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        taps: tuple[str, ...] = ("layer4", "head"),
        student_taps: tuple[str, ...] | None = None,
        teacher_taps: tuple[str, ...] | None = None,
        temperature: float = 4.0,
        pool: int = 2,
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "dsd")
        expect_same_classes(student, teacher, "dsd")
        expect_positive(temperature, "temperature")
        expect_positive(float(pool), "pool")
        ours, theirs = student_taps or taps, teacher_taps or taps
        if not ours or len(ours) != len(theirs):
            raise ValueError(f"expected as many taps of the student as of the teacher, got {ours} and {theirs}")
        self.pairs = tuple(
            FeaturePair(student, teacher, "dsd", student_tap=own, teacher_tap=other)
            for own, other in zip(ours, theirs, strict=True)
        )
        self.requires = Requires(teacher=True)
        for pair in self.pairs:
            self.requires |= pair.requires
        # Logits keep their network's corners; features are aligned without.
        self.align_corners = teacher.align_corners
        self.temperature = temperature
        self.pool = pool
        self.mask_ignored = mask_ignored

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Means over positions that count, and over pairs of classes."""
        teacher = expect_teacher(teacher, "dsd")
        logits, size = student.logits, student.logits.shape[2:]
        followed = resize(teacher.logits.detach(), size, align_corners=self.align_corners)
        valid = taught_positions(logits, batch, mask_ignored=self.mask_ignored)
        ours, theirs = self._residuals(student, teacher, followed, valid)
        positions = position_count(logits, valid)
        gram, followed_gram = (
            class_gram(values, valid, temperature=self.temperature, pool=self.pool) for values in (logits, followed)
        )
        return {
            "dsd_pixel": (ours - theirs).square().sum() / (positions * len(ours)),
            "dsd_class": (gram - followed_gram).square().mean(),
        }

    def _residuals(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        followed: Float[Tensor, "b k h w"],
        valid: Bool[Tensor, "b h w"] | None,
    ) -> tuple[Float[Tensor, "pairs b n"], Float[Tensor, "pairs b n"]]:
        size = student.logits.shape[2:]
        features = [pair(student, teacher) for pair in self.pairs]
        ours = [attention(resize(own, size, align_corners=False), valid) for own, _ in features]
        theirs = [attention(resize(other, size, align_corners=False), valid) for _, other in features]
        return (
            residuals([*ours, attention(student.logits, valid)]),
            residuals([*theirs, attention(followed, valid)]),
        )
