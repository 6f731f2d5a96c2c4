"""All scores of a segmentation network in one pass over the data, in memory that does not grow with it.

What is stored are counts (int64) and sums (float64); the equations stand in `confusion`, `boundary`, `calibration` and
`selective`. Two metrics over different images add up to the metric over all of them: by `merge` in one process, by
torchmetrics, which sums the states when `compute` is called, over many.

Memory: k^2 + 227 k + 4096 (5 + 2 s) numbers for k classes and s further uncertainties: 0.2 MB for 11 classes.
"""

from collections.abc import Mapping, Sequence
from typing import Final, final

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from foglight.metrics.confusion import Absent
from foglight.metrics.running import RunningTally
from foglight.metrics.scores import SegmentationScores
from foglight.metrics.selective import UNIT_RANGE
from foglight.metrics.summary import summarise
from foglight.metrics.tally import Tally, Uncertainty, tally
from foglight.types import IGNORE_INDEX

__all__ = ["MAX_PROB", "SegmentationMetrics", "SegmentationScores"]

MAX_PROB: Final = "1 - max p"


@final
class SegmentationMetrics(nn.Module):
    """Scores of logits against labels, batch by batch.

    Args:
        num_classes: k.
        class_names: by class index; the indices themselves by default.
        ignore_index: the label where nothing is said.
        absent: `dash` leaves a class that neither occurs nor is predicted out of the means, `zero` counts it as 0.
        boundary: whether to count rims.
        border_width: pixels from a label border that `ece_border` covers.
        score_names: of the uncertainties that `update` is given beside 1 - max p.
        score_limits: their ranges where these are not [0, 1]; what lies outside counts as the nearer end.

    >>> metrics = SegmentationMetrics(2)
    >>> metrics.update(torch.tensor([[[[2.0, 0.0]], [[0.0, 2.0]]]]), torch.tensor([[[0, 0]]]))
    >>> scores = metrics.compute()
    >>> scores.miou, [record.iou for record in scores.per_class]
    (0.25, [0.5, 0.0])

    Raises:
        ValueError: if there are fewer than two classes, or names or limits do not fit.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        ignore_index: int = IGNORE_INDEX,
        absent: Absent = "dash",
        boundary: bool = True,
        border_width: int = 3,
        score_names: tuple[str, ...] = (),
        score_limits: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        super().__init__()
        names = tuple(str(index) for index in range(num_classes)) if class_names is None else tuple(class_names)
        limits = dict(score_limits or {})
        if num_classes < 2:
            raise ValueError(
                f"expected at least 2 classes, got {num_classes}; write a one-channel head as logits [0, z]"
            )
        if len(names) != num_classes:
            raise ValueError(f"expected {num_classes} class names, got {len(names)}")
        if MAX_PROB in score_names or len(set(score_names)) != len(score_names):
            raise ValueError(f"expected distinct score names other than {MAX_PROB!r}, got {score_names}")
        if not set(limits) <= set(score_names) or any(low >= high for low, high in limits.values()):
            raise ValueError(f"expected limits (low, high) for some of the scores {score_names}, got {limits}")
        self.num_classes = num_classes
        self.class_names = names
        self.ignore_index = ignore_index
        self.absent: Absent = absent
        self.boundary = boundary
        self.border_width = border_width
        self.score_names = score_names
        self.score_limits = limits
        self.sums = RunningTally(num_classes=num_classes, num_uncertainties=1 + len(score_names))

    @property
    def confusion(self) -> Int64[Tensor, "k k"]:
        """Pixels by (label, prediction), of this process."""
        return self.sums.confusion

    @torch.no_grad()
    def update(
        self,
        logits: Float[Tensor, "b k H W"],
        label: Int[Tensor, "b H W"],
        scores: Mapping[str, Float[Tensor, "b H W"]] | None = None,
    ) -> None:
        """Count one batch.

        Args:
            logits: or log-probabilities, on the label's grid.
            label: class indices, `ignore_index` where nothing is said.
            scores: an uncertainty map (larger is less certain) for each of `score_names`.

        Raises:
            ValueError: if shapes, labels or names do not fit, or a value is NaN.
        """
        scores = scores or {}
        self._require_fit(logits, label, scores)
        batch = tally(
            logits,
            label,
            [Uncertainty(scores[name], self.score_limits.get(name, UNIT_RANGE)) for name in self.score_names],
            ignore_index=self.ignore_index,
            border_width=self.border_width,
            boundary=self.boundary,
        )
        self.sums.update(batch)

    def _require_fit(self, logits: Tensor, label: Tensor, scores: Mapping[str, Tensor]) -> None:
        if logits.shape[1] != self.num_classes:
            raise ValueError(f"expected logits of {self.num_classes} classes, got {logits.shape[1]}")
        if set(scores) != set(self.score_names):
            raise ValueError(f"expected the scores {self.score_names}, got {tuple(scores)}")
        grid = (len(logits), *logits.shape[2:])
        for name, values in (("label", label), *scores.items()):
            if tuple(values.shape) != grid:
                raise ValueError(f"expected {name} of shape {grid}, got {tuple(values.shape)}; resize the logits first")

    def compute(self) -> SegmentationScores:
        """All scores so far, over all processes."""
        # On the CPU, where cumulated sums are deterministic and a few thousand numbers take no time.
        total = Tally(*(state.cpu() for state in self.sums.compute()))
        return summarise(
            total,
            class_names=self.class_names,
            score_names=(MAX_PROB, *self.score_names),
            absent=self.absent,
            boundary=self.boundary,
        )

    def merge(self, other: "SegmentationMetrics") -> None:
        """Add what another metric has counted in this process.

        Raises:
            ValueError: if it counts other classes or scores.
        """
        if (other.class_names, other.score_names) != (self.class_names, self.score_names):
            raise ValueError(
                f"expected a metric of the classes {self.class_names} and scores {self.score_names}, "
                f"got {other.class_names} and {other.score_names}"
            )
        self.sums.update(other.sums.local)

    def reset(self) -> None:
        """Forget everything."""
        self.sums.reset()
