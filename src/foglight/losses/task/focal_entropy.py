"""Cross-entropy that keeps a teacher unsure where the example is hard: hard pixels count more and may stay open.

w[i] = min(cap, [argmax p != y] + gamma * (1 - p_y)),  without gradient
l[i] = w[i] * CE(p, y) - lambda * (w[i] / cap) * H(p) / log k,  L = 1/M * sum over valid i of l[i]

Symbols: p softmax of the logits (b k h w) upsampled to the label's grid, y labels, H entropy in nats, M valid pixels.
Source: CUD's first stage (Kim et al. 2026, arXiv 2602.12687) as reconstructed from public reviews and notes: lambda
0.1, gamma 10 and cap 3 are reported, the form of w and of the gate is not, and no code is public.
Ours: per pixel; H over log k, so that lambda does not depend on the number of classes. Controls behind options:
`factor: 1+w` with `entropy_weight: 0` does as well in a toy as the whole; `factor: one` with `label_smoothing` is label
smoothing, and with `gate: one` the confidence penalty.
Cost: at most six maps of b*k*H*W numbers (the label's grid) at once, the gradient included.
"""

from math import log
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from foglight.functional.binary import at_least_two_classes
from foglight.functional.cross_entropy import cross_entropy_at_label_grid
from foglight.functional.entropy import entropy
from foglight.functional.masking import at_label, legal_label, valid_count
from foglight.functional.resize import resize
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.expect import expect_positive
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

Factor = Literal["w", "1+w", "one"]
Gate = Literal["w", "wrong", "one"]


@torch.no_grad()
def difficulty(
    log_probability: Float[Tensor, "b k *grid"], label: Int[Tensor, "b *grid"], *, gamma: float, cap: float
) -> tuple[Float[Tensor, "b 1 *grid"], Float[Tensor, "b 1 *grid"]]:
    """How hard every pixel is, in [0, cap], and whether (0 or 1) it is wrong.

    >>> difficulty(torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log(), torch.tensor([0, 0]), gamma=10.0, cap=3.0)[0]
    tensor([[1.0000],
            [3.0000]])
    """
    wrong = (log_probability.argmax(dim=1) != label).unsqueeze(1).to(log_probability.dtype)
    missing = -torch.expm1(at_label(log_probability, label))
    return (wrong + gamma * missing).clamp(max=cap), wrong


@final
class FocalEntropy(PixelLoss):
    """Difficulty-aware shaping of a teacher: terms `focal_entropy` and, with auxiliary heads, `ce_auxiliary`.

    Args:
        student: the network that is trained, here the teacher to be.
        teacher: not used.
        gamma: of 1 - p_y in w; a multiplier, not an exponent.
        cap: largest w.
        entropy_weight: lambda.
        factor: of the cross-entropy: w, 1 + w, or one.
        gate: of the entropy bonus: w / cap, one at wrong pixels only, or one everywhere.
        label_smoothing: share of the target that is spread over all classes.
        auxiliary_weight: factor of the auxiliary heads' summed plain cross-entropy, applied inside the term.
    """

    card: ClassVar[Card] = Card(
        title="Hard pixels count more and are rewarded for entropy, so that a teacher stays informative on them.",
        equation="1/M sum_valid w CE - lambda (w / cap) H / log k; w = min(cap, [wrong] + gamma (1 - p_y))",
        source="Kim et al., Trust the uncertain teacher (CUD), arXiv 2602.12687, stage 1, form reconstructed",
        deviations="per pixel; entropy over log k; the form of w and of the gate is a reconstruction",
        cost="at most six maps of b*k*H*W numbers (the label's grid) at once, the gradient included",
        tier="for comparison",
        may_be_negative=frozenset({"focal_entropy"}),
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None = None,
        *,
        gamma: float = 10.0,
        cap: float = 3.0,
        entropy_weight: float = 0.1,
        factor: Factor = "w",
        gate: Gate = "w",
        label_smoothing: float = 0.0,
        auxiliary_weight: float = 0.4,
    ) -> None:
        super().__init__()
        expect_positive(cap, "cap")
        if gamma < 0 or not 0 <= label_smoothing < 1:
            raise ValueError(f"expected gamma >= 0 and label_smoothing in [0, 1), got {gamma} and {label_smoothing}")
        self.requires = Requires(label=True)
        self.align_corners = student.align_corners
        self.gamma = gamma
        self.cap = cap
        self.entropy_weight = entropy_weight
        self.factor: Factor = factor
        self.gate: Gate = gate
        self.label_smoothing = label_smoothing
        self.auxiliary_weight = auxiliary_weight

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """Per-pixel values on the label's grid; class-resolved weights are taken at the label."""
        label, ignored = _target(student, batch), batch.ignore_index
        legal, valid = legal_label(label, ignore_index=ignored)
        denominator = valid_count(valid, dtype=student.logits.dtype)

        def pixel_map(values: Tensor, *, weighted: bool) -> PixelMap:
            return PixelMap(values, valid, denominator, "none", label=legal, weighted=weighted)

        logits = resize(at_least_two_classes(student.logits), label.shape[1:], align_corners=self.align_corners)
        maps = {"focal_entropy": pixel_map(self._values(logits, legal), weighted=True)}
        if student.auxiliary and self.auxiliary_weight:
            heads = [
                cross_entropy_at_label_grid(
                    at_least_two_classes(head), label, align_corners=self.align_corners, ignore_index=ignored
                )
                for head in student.auxiliary
            ]
            maps["ce_auxiliary"] = pixel_map(self.auxiliary_weight * torch.stack(heads).sum(0), weighted=False)
        return maps

    def _values(
        self,
        logits: Float[Tensor, "b k *grid"],
        label: Int[Tensor, "b *grid"],
    ) -> Float[Tensor, "b 1 *grid"]:
        log_probability = torch.log_softmax(logits, dim=1)
        hard, wrong = difficulty(log_probability, label, gamma=self.gamma, cap=self.cap)
        values = -at_label(log_probability, label)
        if self.label_smoothing:
            values = torch.lerp(values, -log_probability.mean(dim=1, keepdim=True), self.label_smoothing)
        if self.factor != "one":
            values = values * (hard if self.factor == "w" else 1 + hard)
        if not self.entropy_weight:
            return values
        bonus = self.entropy_weight * entropy(log_probability) / log(log_probability.shape[1])
        if self.gate != "one":
            bonus = bonus * (hard / self.cap if self.gate == "w" else wrong)
        return values - bonus


def _target(student: ModelOutput, batch: Batch) -> Int[Tensor, "b *label_grid"]:
    """The label with everything invalid ignored; all ignored on the head's grid without labels."""
    if batch.label is None:
        return torch.full(
            (len(student.logits), *student.logits.shape[2:]), batch.ignore_index, device=student.logits.device
        )
    return torch.where(batch.valid, batch.label, batch.ignore_index)
