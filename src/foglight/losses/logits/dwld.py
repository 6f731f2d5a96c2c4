"""Decoupled distillation whose non-target part is weighted by a small network, class by class or pixel by pixel.

l[i] = alpha * kl(b_T || b_S) + sum over c != y of beta[c, i] * n_T[c] * (log n_T[c] - log n_S[c])
L = tau^2 / N * sum over valid i of l[i],  beta = controller(softmax(z_S), entropy) in [beta_min, beta_max]

Symbols: b the distribution over (label, any other), n the one over the k - 1 other classes, of softmax(z / tau); z
logits (b k h w), y labels, N valid pixels. DKD is a constant beta.
Source: LIX (arXiv 2403.08215), eq. 6-11; the official code was not read.
Preset `literal`: the printed equations with kl(teacher || student) in place of eq. 9's S log(T / S), which drives the
student away (kept behind `literal_eq9`), and the mean in place of its sum. Two faults stay: terms with a weight per
class may be negative (the student is pulled towards n_S ~ beta * n_T), and a controller that descends on the loss it
weights ends at beta_min. Preset `robust` (default) has neither: one weight per pixel, the mean over the other classes
(`pointwise: pixel`); the controller climbs, so that it weighs up what is still wrong; the batch's mean is held to 5.5.
Cost: at most ten maps of b*k*h*w numbers at once, the gradient included, and the controller's activations (see
`weight_controller`).
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.decoupled import split_target, target_kl
from foglight.functional.label_grid import label_on_grid
from foglight.functional.masking import valid_count
from foglight.losses.base import Card, PixelLoss, PixelMap, Statistics
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.losses.paired_logits import corners_of, paired_logits
from foglight.losses.weight_controller import Omega, WeightController, beta_figures, budget_scale, mean_over_others
from foglight.types import Batch, Grid, ModelInfo, ModelOutput, Requires

Pointwise = Literal["kl", "bregman", "pixel"]
Controlled = Literal["descend", "frozen", "ascend"]
Preset = Literal["robust", "literal"]

# Pointwise form, training of the controller, mean weight (0: free).
PRESETS: Final[Mapping[Preset, tuple[Pointwise, Controlled, float]]] = {
    "robust": ("pixel", "ascend", 5.5),
    "literal": ("kl", "descend", 0.0),
}


def weighted_ranking(
    student: Float[Tensor, "b k *grid"],
    teacher: Float[Tensor, "b k *grid"],
    weight: Float[Tensor, "b channels *grid"],
    *,
    proper: bool = False,
) -> Float[Tensor, "b 1 *grid"]:
    """The sum over classes of weight times an entry of kl(teacher || student), from log-probabilities.

    `proper` makes every entry t log(t / s) - t + s, which is never negative and has the same sum without a weight.
    """
    mass = teacher.exp()
    entries = mass * (teacher - student)
    if proper:
        entries = entries - mass + student.exp()
    return (weight * entries).sum(dim=1, keepdim=True)


def literal_eq9(
    odds: tuple[Float[Tensor, "b 1 *grid"], Float[Tensor, "b 1 *grid"]],
    others: tuple[Float[Tensor, "b k *grid"], Float[Tensor, "b k *grid"]],
    weight: Float[Tensor, "b channels *grid"],
    *,
    alpha: float,
) -> Float[Tensor, "b 1 *grid"]:
    """Equation 9 as printed: s log(t / s) of (student, teacher) pairs, whose sum is never positive."""
    (student, teacher), (student_others, teacher_others) = odds, others
    target = student.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    target = target + (-student).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    entries = student_others.exp() * (teacher_others - student_others)
    return alpha * target + (weight * entries).sum(dim=1, keepdim=True)


@final
class DWLD(PixelLoss):
    """Dynamically weighted decoupled distillation: term `dwld`. Only labelled, not ignored pixels teach here.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        preset: what the next three are where they are None; see above.
        pointwise: weight per class on entries of kl; on entries that are never negative; or one weight per pixel.
        controller: how the controller is trained: down the loss, not at all (random), or up the loss.
        beta_budget: the mean of beta over the batch's valid pixels and other classes; 0 leaves it free.
        beta: a constant in place of the controller.
        alpha: factor of the target part.
        beta_min: smallest weight that the controller gives.
        beta_max: largest weight that the controller gives.
        temperature: tau; the controller always reads softmax(z).
        omega: what it reads: probabilities, entropy, or both.
        omega_from: of which network.
        detach_omega: False lets the student's gradient flow through what the controller reads.
        hidden: units of its hidden layers.
        depth: number of its layers, 1 to 5.
        dropout: rate after each hidden layer.
        literal_eq9: the printed equation, summed over pixels; for comparison only, it drives the student away.
        grid: distil on the head's grid, or on logits upsampled to the label's.
    """

    card: ClassVar[Card] = Card(
        title="Decoupled distillation with weights on the other classes that a small network gives, pixel by pixel.",
        equation="tau^2 / N * sum_valid alpha kl(b_T || b_S) + sum_{c != y} beta_c n_T log(n_T / n_S)",
        source="LIX, arXiv 2403.08215, eq. 6-11",
        deviations="direction and mean of eq. 9 corrected; by default one weight per pixel, a controller that climbs, "
        "mean weight 5.5 (preset literal: weights per class, descending, free); hidden width 64 is our choice",
        cost="at most ten maps of b*k*h*w numbers at once, the gradient included; the controller's "
        "activations, at most 64 MiB of them at once",
        tier="supported",
        may_be_negative=frozenset({"dwld"}),
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        preset: Preset = "robust",
        pointwise: Pointwise | None = None,
        controller: Controlled | None = None,
        beta_budget: float | None = None,
        beta: float | None = None,
        alpha: float = 1.0,
        beta_min: float = 1.0,
        beta_max: float = 10.0,
        temperature: float = 1.0,
        omega: Omega = "both",
        omega_from: Literal["student", "teacher"] = "student",
        detach_omega: bool = True,
        hidden: int = 64,
        depth: int = 3,
        dropout: float = 0.0,
        literal_eq9: bool = False,
        grid: Grid = "head",
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "dwld")
        expect_same_classes(student, teacher, "dwld")
        expect_positive(temperature, "temperature")
        chosen_pointwise, chosen_controlled, chosen_budget = PRESETS[preset]
        self.pointwise: Pointwise = pointwise or chosen_pointwise
        self.controlled: Controlled = controller or chosen_controlled
        self.beta_budget = chosen_budget if beta_budget is None else beta_budget
        if self.controlled == "ascend" and not detach_omega:
            raise ValueError("expected detach_omega with controller 'ascend', got neither: the student would climb too")
        self.controller = None
        if beta is None:
            self.controller = WeightController(
                max(student.num_classes, 2),
                omega=omega,
                hidden=hidden,
                depth=depth,
                dropout=dropout,
                beta_min=beta_min,
                beta_max=beta_max,
                # A frozen controller that starts even would be a constant.
                start_even=self.controlled != "frozen",
            ).requires_grad_(self.controlled != "frozen")
        # Beside the label two classes leave one other, among which there is nothing to rank.
        self.requires = Requires(teacher=True, label=True, classes=3)
        self.corners = corners_of(student, teacher)
        self.beta = beta
        self.alpha = alpha
        self.temperature = temperature
        self.omega_from: Literal["student", "teacher"] = omega_from
        self.detach_omega = detach_omega
        self.literal_eq9 = literal_eq9
        self.grid: Grid = grid
        # Per pixel, with the pixels that count; and the extremes over classes. Summed up only where it is logged.
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The weighted divergence per pixel; a class-resolved pixel weight is taken at the label."""
        ours, theirs = paired_logits(
            student, expect_teacher(teacher, "dwld"), batch, corners=self.corners, grid=self.grid
        )
        theirs = theirs.detach()
        label, valid = label_on_grid(ours, batch)
        odds, others = split_target(ours, label, temperature=self.temperature)
        teacher_odds, teacher_others = split_target(theirs, label, temperature=self.temperature)
        weight = self._weight(ours, theirs, label, valid, batch)
        pixels = valid_count(valid, dtype=ours.dtype)
        if self.literal_eq9:
            values = literal_eq9((odds, teacher_odds), (others, teacher_others), weight, alpha=self.alpha)
            pixels = pixels.new_ones(())
        else:
            ranking = weighted_ranking(others, teacher_others, weight, proper=self.pointwise == "bregman")
            values = self.alpha * target_kl(odds, teacher_odds) + ranking
        return {"dwld": PixelMap(self.temperature**2 * values, valid, pixels, "none", label=label)}

    def statistics(self) -> Statistics:
        """Of beta over the valid pixels of the last forward; none where there was none.

        `beta_min` and `beta_max` are over single classes too; mean, standard deviation and the quantiles are of every
        pixel's mean over its other classes.
        """
        if self._last is None:
            return Statistics()
        per_pixel, valid, extremes = self._last
        spread = beta_figures(per_pixel[valid.unsqueeze(1)])
        if not spread or not bool(torch.isfinite(extremes).all()):
            return Statistics()
        return Statistics({**spread, **dict(zip(("beta_min", "beta_max"), extremes.tolist(), strict=True))})

    def _weight(
        self,
        ours: Float[Tensor, "b k *grid"],
        theirs: Float[Tensor, "b k *grid"],
        label: Int[Tensor, "b *grid"],
        valid: Bool[Tensor, "b *grid"],
        batch: Batch,
    ) -> Float[Tensor, "b channels *grid"]:
        """Of every class, or one per pixel where `pointwise` is pixel; with the gradient that the controller gets."""
        if self.beta is not None:
            weight = torch.full_like(ours, self.beta)
        else:
            weight = self._beta(theirs if self.omega_from == "teacher" else ours, batch)
        per_pixel = mean_over_others(weight, label)
        weight = per_pixel if self.pointwise == "pixel" else weight
        scale = per_pixel.new_ones(())
        if self.beta_budget and self.beta is None:
            scale = budget_scale(per_pixel, valid, budget=self.beta_budget)
            weight = weight * scale
        with torch.no_grad():
            counted = valid.unsqueeze(1)
            smallest = torch.where(counted, weight, torch.inf).min()
            largest = torch.where(counted, weight, -torch.inf).max()
            self._last = (scale * per_pixel.detach(), valid, torch.stack([smallest, largest]))
        # The same value with the opposite gradient: a descent that climbs.
        return 2 * weight.detach() - weight if self.controlled == "ascend" else weight

    def _beta(self, logits: Float[Tensor, "b k *grid"], batch: Batch) -> Float[Tensor, "b k *grid"]:
        """The controller's weights for what these logits say."""
        assert self.controller is not None
        log_probability = torch.log_softmax(logits.detach() if self.detach_omega else logits, dim=1)
        shapes = self.controller.uniform_shapes(log_probability[:, 0].numel())
        drawn = self.draw(batch, shapes) if shapes else {}
        return self.controller(log_probability, [values.to(logits.dtype) for values in drawn.values()])
