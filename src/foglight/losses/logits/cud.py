"""Wrong-mass clipping: where the teacher is wrong, part of its wrong certainty moves to the label before it is taught.

q = t, but where w = argmax t is not y:  q_w = t_w - d,  q_y = t_y + d,  d = min(eta * t_w, margin * (t_w - t_y))
L = tau^2 / N * sum_i sum_c q[c, i] * (log q[c, i] - log s[c, i]),  s = softmax_c(z_S / tau)

Symbols: t = softmax_c(z_T / (tau kappa)), kappa the teacher's own calibration temperature, z logits (b k h w), y
labels, N = b*h*w positions, d moved mass. sum_c q = 1; with eta and margin of at least 1/2, q_y >= q_w, but a third
class may still lead.
Source: Kim et al. 2026, "Trust the uncertain teacher" (CUD), eq. 4-8 as public reviews and notes give them; the paper
itself was not read, no code is public, and everything dense is ours. Where the teacher may be trained, train it with
`focal_entropy` (CUD's first stage) instead of setting kappa.
Ours: no label (unlabelled or ignored pixels, the band at a border) leaves t as it is, that is plain KD; `receiver:
random` moves the same mass to a random other class, as a placebo.
Cost: at most six maps of b*k*h*w numbers at once, the gradient included; no parameter.
"""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.label_grid import label_on_grid
from foglight.functional.masking import at_label, position_count, taught_positions
from foglight.functional.resize import resize_label
from foglight.functional.tempered import tempered
from foglight.losses.base import Card, PixelLoss, PixelMap, Statistics
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.losses.paired_logits import corners_of, paired_logits
from foglight.types import Batch, Grid, ModelInfo, ModelOutput, Requires


def clip_wrong_mass(
    log_probability: Float[Tensor, "b k *grid"],
    label: Int[Tensor, "b *grid"],
    valid: Bool[Tensor, "b *grid"],
    *,
    eta: float = 0.5,
    margin: float = 0.7,
    receiver: Int[Tensor, "b *grid"] | None = None,
) -> tuple[Float[Tensor, "b k *grid"], Float[Tensor, "b 1 *grid"]]:
    """The logarithm of the clipped distribution, and the mass that moved; untouched where right or not valid.

    Args:
        log_probability: of the teacher.
        label: legal everywhere.
        valid: where the label holds.
        eta: largest share of the wrong class's mass that may move.
        margin: largest share of its lead over the label that may move.
        receiver: the class that gets the mass; None for the label.

    >>> teacher = torch.tensor([[0.8, 0.1, 0.1]]).log()
    >>> clipped, moved = clip_wrong_mass(teacher, torch.tensor([1]), torch.tensor([True]))
    >>> clipped.exp(), moved
    (tensor([[0.4000, 0.5000, 0.1000]]), tensor([[0.4000]]))
    """
    receiver = label if receiver is None else receiver
    log_lead, leader = log_probability.max(dim=1, keepdim=True)
    lead, labelled = log_lead.exp(), at_label(log_probability, label).exp()
    wrong = valid.unsqueeze(1) & (leader != label.unsqueeze(1))
    moved = torch.where(wrong, torch.minimum(eta * lead, margin * (lead - labelled)), 0.0)
    log_received = at_label(log_probability, receiver)
    heavier = torch.where(wrong, (log_received.exp() + moved).log(), log_received)
    lighter = torch.where(wrong, log_lead + torch.log1p(-moved / lead), log_lead)
    clipped = log_probability.scatter(1, receiver.unsqueeze(1).long(), heavier).scatter_(1, leader, lighter)
    return clipped, moved


def near_border(label: Int[Tensor, "b H W"], band: int) -> Bool[Tensor, "b H W"]:
    """Where another label stands within `band` rows or columns.

    >>> near_border(torch.tensor([[[0, 0, 0, 1, 1]]]), 1)
    tensor([[[False, False,  True,  True, False]]])
    """
    values, window = label.double().unsqueeze(1), 2 * band + 1
    largest = F.max_pool2d(values, window, stride=1, padding=band)
    smallest = -F.max_pool2d(-values, window, stride=1, padding=band)
    return (largest != smallest).squeeze(1)


@final
class CUD(PixelLoss):
    """kl(clipped teacher || student): term `cud`.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        temperature: tau.
        eta: largest share of a wrong class's mass that may move, in (0, 1).
        margin: largest share of its lead over the label that may move, in (0, 1].
        teacher_temperature: kappa, fitted on held-out labels; for a teacher that cannot be trained again.
        clip_at_one: clip the teacher's own distribution and temper it afterwards, instead of clipping at tau.
        receiver: the label, or a random other class (the placebo control).
        border_band: positions of the label this near to another label are not clipped; labels are least sure there.
        mask_ignored: leave out pixels whose label is ignored; otherwise they teach as in plain distillation.
        grid: distil on the head's grid, or on logits upsampled to the label's.
    """

    card: ClassVar[Card] = Card(
        title="Where the teacher is wrong, part of its wrong certainty moves to the label before it is taught.",
        equation="tau^2 kl(q || s); q = t but d = min(eta t_w, margin (t_w - t_y)) moved from w = argmax t to y != w",
        source="Kim et al., Trust the uncertain teacher (CUD), arXiv 2602.12687, eq. 4-8 as publicly reported",
        deviations="per pixel; unlabelled and ignored pixels keep the teacher's own distribution; tau unknown",
        cost="at most six maps of b*k*h*w numbers at once, the gradient included",
        tier="supported",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        temperature: float = 1.0,
        eta: float = 0.5,
        margin: float = 0.7,
        teacher_temperature: float = 1.0,
        clip_at_one: bool = False,
        receiver: Literal["label", "random"] = "label",
        border_band: int = 0,
        mask_ignored: bool = False,
        grid: Grid = "head",
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "cud")
        expect_same_classes(student, teacher, "cud")
        expect_positive(temperature, "temperature")
        expect_positive(teacher_temperature, "teacher_temperature")
        if not (0 < eta < 1 and 0 < margin <= 1 and border_band >= 0):
            raise ValueError(
                f"expected eta in (0, 1), margin in (0, 1] and border_band >= 0, got {eta}, {margin} and {border_band}"
            )
        self.requires = Requires(teacher=True)
        self.corners = corners_of(student, teacher)
        self.temperature = temperature
        self.eta = eta
        self.margin = margin
        self.teacher_temperature = teacher_temperature
        self.clip_at_one = clip_at_one
        self.receiver: Literal["label", "random"] = receiver
        self.border_band = border_band
        self.mask_ignored = mask_ignored
        self.grid: Grid = grid
        # Figures are worked out only when they are asked for.
        self._observed: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The divergence per class and pixel."""
        ours, theirs = paired_logits(
            student, expect_teacher(teacher, "cud"), batch, corners=self.corners, grid=self.grid
        )
        log_target = self._target(theirs.detach(), batch)
        log_student = torch.log_softmax(tempered(ours, self.temperature), dim=1)
        values = log_target.exp() * (log_target - log_student)
        if self.temperature != 1:
            values = values * self.temperature**2
        valid = taught_positions(values, batch, mask_ignored=self.mask_ignored)
        denominator = position_count(values, valid)
        return {"cud": PixelMap(values, valid, denominator, "class")}

    def statistics(self) -> Statistics:
        """Of the last forward: share of labelled pixels that were wrong, mass moved there, share where y then led."""
        if self._observed is None:
            return Statistics()
        clipped, moved, label, valid = self._observed
        wrong = moved > 0
        count = wrong.sum().clamp(min=1)
        figures = {
            "wrong_frac": wrong.sum() / valid.sum().clamp(min=1),
            "mean_delta": moved.sum() / count,
            "overtake_frac": (wrong & (clipped.argmax(dim=1) == label)).sum() / count,
        }
        return Statistics({name: figure.item() for name, figure in figures.items()})

    @torch.no_grad()
    def _target(self, logits: Float[Tensor, "b k *grid"], batch: Batch) -> Float[Tensor, "b k *grid"]:
        """The logarithm of q, at the training temperature."""
        temperature = self.teacher_temperature * (1.0 if self.clip_at_one else self.temperature)
        log_probability = torch.log_softmax(tempered(logits, temperature), dim=1)
        label, valid = label_on_grid(logits, batch)
        if self.border_band and batch.label is not None and batch.label.ndim == 3:
            valid = valid & ~resize_label(near_border(batch.label, self.border_band), logits.shape[2:])
        receiver = self._random_class(log_probability, batch) if self.receiver == "random" else label
        clipped, moved = clip_wrong_mass(
            log_probability, label, valid, eta=self.eta, margin=self.margin, receiver=receiver
        )
        self._observed = (clipped, moved.squeeze(1), label, valid)
        return torch.log_softmax(clipped / self.temperature, dim=1) if self.clip_at_one else clipped

    def _random_class(self, log_probability: Float[Tensor, "b k *grid"], batch: Batch) -> Int[Tensor, "b *grid"]:
        """Any class but the teacher's first, each as likely."""
        classes, leader = log_probability.shape[1], log_probability.argmax(dim=1)
        uniform = self.draw(batch, {"receiver": tuple(leader.shape)})["receiver"]
        return (leader + 1 + (uniform * (classes - 1)).long().clamp(max=classes - 2)) % classes
