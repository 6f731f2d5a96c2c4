"""Decoupled distillation: how sure to be of the label, and how to rank the other classes, weigh separately.

l[i] = alpha * kl(b_T || b_S) + beta * kl(n_T || n_S),  L = tau^2 / N * sum over valid i of l[i]

Symbols: b = (p_y, 1 - p_y) the distribution over (label, any other), n the distribution over the k - 1 other classes,
both of softmax(z / tau); z logits (b k h w), y labels, N valid pixels. KD is alpha = 1 and beta = 1 - t_y.
Source: Zhao et al. 2022, "Decoupled knowledge distillation", eq. 7; mdistiller `distillers/DKD.py` @ a08d46f.
Behind options: the sum over pixels (what mmrazor's code gives for any reduction but its default, since an old argument
overrides it), the factor 1 - t_y of KD, mdistiller's warm-up.
Changed: log odds (see `functional.decoupled`); ignored pixels are left out before any label is read.
Cost: at most seven maps of b*k*h*w numbers at once, the gradient included; no parameter.
"""

from typing import ClassVar, Literal, final

from jaxtyping import Float, Int
from torch import Tensor

from foglight.functional.decoupled import split_target, target_kl
from foglight.functional.label_grid import label_on_grid
from foglight.functional.masking import valid_count
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.losses.paired_logits import corners_of, paired_logits
from foglight.types import Batch, Grid, ModelInfo, ModelOutput, Requires


def decoupled_kl(
    student: Float[Tensor, "b k *grid"],
    teacher: Float[Tensor, "b k *grid"],
    label: Int[Tensor, "b *grid"],
    *,
    alpha: float,
    beta: float,
    temperature: float = 1.0,
    decouple: bool = True,
) -> Float[Tensor, "b 1 *grid"]:
    """The target part times alpha plus the non-target part times beta, at every position; no factor tau^2.

    Args:
        student: logits.
        teacher: logits on the same grid.
        label: legal everywhere.
        alpha: factor of kl over (label, any other).
        beta: factor of kl over the other classes.
        temperature: tau.
        decouple: False multiplies the second part by the teacher's 1 - t_y, as plain distillation does.
    """
    odds, others = split_target(student, label, temperature=temperature)
    teacher_odds, teacher_others = split_target(teacher.detach(), label, temperature=temperature)
    ranking = (teacher_others.exp() * (teacher_others - others)).sum(dim=1, keepdim=True)
    if not decouple:
        ranking = (-teacher_odds).sigmoid() * ranking
    return alpha * target_kl(odds, teacher_odds) + beta * ranking


@final
class DKD(PixelLoss):
    """Target and non-target class distillation: term `dkd`. Unlabelled images and ignored pixels teach nothing here.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        alpha: of the target part.
        beta: of the non-target part; 8 on CIFAR (tau 4), 0.5 on ImageNet (tau 1).
        temperature: tau.
        decouple: False gives the non-target part the factor 1 - t_y that plain distillation has.
        warm_up_steps: the term grows linearly to its full size over so many updates; mdistiller takes 20 epochs.
        reduction: mean over the valid pixels, or their sum.
        grid: distil on the head's grid, or on logits upsampled to the label's.
    """

    card: ClassVar[Card] = Card(
        title="The label's certainty and the ranking of the other classes are distilled with weights of their own.",
        equation="tau^2 / N * sum_valid alpha kl(b_T || b_S) + beta kl(n_T || n_S); b over (label, rest), n over rest",
        source="Zhao et al., Decoupled knowledge distillation, CVPR 2022, eq. 7",
        implementation="megvii-research/mdistiller distillers/DKD.py @ a08d46f; open-mmlab/mmrazor "
        "models/losses/decoupled_kd.py @ 90c7af1 behind reduction='sum'",
        deviations="log odds in place of sums of probabilities; valid pixels only; warm-up off unless asked for",
        cost="at most seven maps of b*k*h*w numbers at once, the gradient included",
        tier="supported",
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        alpha: float = 1.0,
        beta: float = 1.0,
        temperature: float = 1.0,
        decouple: bool = True,
        warm_up_steps: int = 0,
        reduction: Literal["pixel_mean", "sum"] = "pixel_mean",
        grid: Grid = "head",
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "dkd")
        expect_same_classes(student, teacher, "dkd")
        expect_positive(temperature, "temperature")
        if min(alpha, beta) < 0 or warm_up_steps < 0:
            raise ValueError(f"expected alpha, beta and warm_up_steps >= 0, got {alpha}, {beta} and {warm_up_steps}")
        # Beside the label two classes leave one other, among which there is nothing to rank.
        self.requires = Requires(teacher=True, label=True, classes=3)
        self.corners = corners_of(student, teacher)
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        self.decouple = decouple
        self.warm_up_steps = warm_up_steps
        self.reduction: Literal["pixel_mean", "sum"] = reduction
        self.grid: Grid = grid

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The divergence per pixel; class-resolved weights are taken at the label."""
        ours, theirs = paired_logits(
            student, expect_teacher(teacher, "dkd"), batch, corners=self.corners, grid=self.grid
        )
        label, valid = label_on_grid(ours, batch)
        values = self.temperature**2 * decoupled_kl(
            ours,
            theirs,
            label,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
            decouple=self.decouple,
        )
        if self.warm_up_steps:
            # From one step's share, not from zero: a term of exactly zero looks like a broken one.
            values = values * min((batch.step + 1) / self.warm_up_steps, 1.0)
        pixels = valid_count(valid, dtype=values.dtype)
        denominator = pixels if self.reduction == "pixel_mean" else pixels.new_ones(())
        return {"dkd": PixelMap(values, valid, denominator, "none", label=label)}
