"""Cross-entropy with the labels, on logits upsampled to the label's grid; auxiliary heads at 0.4.

L = 1/M * sum over valid i of l[i],  l[i] = -a[y_i] log softmax_c(U z)[y_i, i],  M = sum over valid i of a[y_i]
L_aux = 0.4 * the mean of the same over the auxiliary heads' logits, each summed.

Symbols: z logits (b k h w), U the bilinear resize to (H, W), y labels, a class weights (one by default, so M counts
the valid pixels).
Source: CIRKD `losses/loss.py::SegCrossEntropyLoss` @ dab64db; AttnFD `utils/loss.py` @ f090bbe (`divide_by_batch`).
Changed: zero with a graph where no pixel is valid (published code gives NaN); label smoothing as in torch.
Cost: strips of the upsampled logits, never all of b*k*H*W (with label smoothing: one such map per head).
"""

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.functional.binary import at_least_two_classes
from foglight.functional.cross_entropy import cross_entropy_at_label_grid, label_mass
from foglight.functional.masking import legal_label
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.types import Batch, ModelInfo, ModelOutput, Requires


@final
class CrossEntropy(PixelLoss):
    """The task loss: terms `ce` and, where the student has auxiliary heads, `ce_auxiliary`.

    Args:
        student: whose logits are trained.
        teacher: not used.
        auxiliary_weight: factor of the auxiliary heads' sum, applied inside the term.
        class_weights: one per class, e.g. 1/sqrt(frequency); None for ones.
        label_smoothing: share of the target that is spread over all classes.
        divide_by_batch: divide by the number of images as well, as AttnFD's code does.
    """

    card: ClassVar[Card] = Card(
        title="Cross-entropy of the student's softmax with the labels.",
        equation="1/M sum_valid a[y] (-log softmax(U z)[y]) + 0.4 * the same on auxiliary heads; M = sum_valid a[y]",
        source="the task loss of every segmentation paper here; Zhao et al. 2017 for the auxiliary head at 0.4",
        implementation="winycg/CIRKD losses/loss.py::SegCrossEntropyLoss @ dab64db; AmirMansurian/AttnFD utils/loss.py"
        " @ f090bbe behind divide_by_batch",
        deviations="zero with a graph where no pixel is valid, published code gives NaN",
        cost="strips of the upsampled logits; with label smoothing one map of batch x classes x label grid per head",
        tier="recommended",
    )

    class_weights: Tensor | None

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None = None,
        *,
        auxiliary_weight: float = 0.4,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        divide_by_batch: bool = False,
    ) -> None:
        super().__init__()
        classes = max(student.num_classes, 2)
        if class_weights is not None and len(class_weights) != classes:
            raise ValueError(f"expected one class weight for each of {classes} classes, got {len(class_weights)}")
        if class_weights is not None and min(class_weights) < 0:
            raise ValueError(f"expected class weights >= 0, got {min(class_weights)}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"expected label_smoothing in [0, 1), got {label_smoothing}")
        weights = None if class_weights is None else torch.tensor(list(class_weights), dtype=torch.float64)
        # Not persistent: it is configuration, not state.
        self.register_buffer("class_weights", weights, persistent=False)
        self.requires = Requires(label=True)
        self.align_corners = student.align_corners
        self.auxiliary_weight = auxiliary_weight
        self.label_smoothing = label_smoothing
        self.divide_by_batch = divide_by_batch

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """Per-pixel cross-entropy on the label's grid; class-resolved weights are taken at the label."""
        label, valid = _target(student.logits, batch)
        mass = label_mass(
            label,
            valid,
            ignore_index=batch.ignore_index,
            dtype=student.logits.dtype,
            class_weights=self.class_weights,
        )
        denominator = mass * len(label) if self.divide_by_batch else mass
        legal, _ = legal_label(label, ignore_index=batch.ignore_index)

        def pixel_map(values: Tensor, *, weighted: bool) -> PixelMap:
            return PixelMap(values, valid, denominator, "none", label=legal, weighted=weighted)

        maps = {"ce": pixel_map(self._values(student.logits, label, batch.ignore_index), weighted=True)}
        if student.auxiliary and self.auxiliary_weight:
            heads = [self._values(logits, label, batch.ignore_index) for logits in student.auxiliary]
            maps["ce_auxiliary"] = pixel_map(self.auxiliary_weight * torch.stack(heads).sum(0), weighted=False)
        return maps

    def _values(
        self, logits: Float[Tensor, "b k *grid"], label: Int[Tensor, "b *label_grid"], ignore_index: int
    ) -> Float[Tensor, "b 1 *label_grid"]:
        return cross_entropy_at_label_grid(
            at_least_two_classes(logits),
            label,
            align_corners=self.align_corners,
            ignore_index=ignore_index,
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
        )


def _target(
    logits: Float[Tensor, "b k *grid"], batch: Batch
) -> tuple[Int[Tensor, "b *label_grid"], Bool[Tensor, "b *label_grid"]]:
    """The label with everything invalid ignored, and what is valid; all ignored on the head's grid without labels."""
    if batch.label is None:
        label = torch.full((len(logits), *logits.shape[2:]), batch.ignore_index, device=logits.device)
        return label, torch.zeros_like(label, dtype=torch.bool)
    # An unlabelled image may hold anything; only `ignore_index` is sure to be skipped.
    return torch.where(batch.valid, batch.label, batch.ignore_index), batch.valid
