"""A tally that runs over batches and over processes: torchmetrics adds the states of all processes up in `compute`."""

from typing import final

import torch
from torch import Tensor
from torchmetrics import Metric

from foglight.metrics.calibration import MASS_CELLS
from foglight.metrics.selective import CELLS
from foglight.metrics.tally import CLASS_WISE_BINS, TOP_BINS, Tally


@final
class RunningTally(Metric):
    """The sum of tallies.

    Args:
        num_classes: k.
        num_uncertainties: how many uncertainties a tally ranks.
    """

    full_state_update = False
    is_differentiable = False

    confusion: Tensor
    boundary: Tensor
    nll: Tensor
    brier: Tensor
    top_counts: Tensor
    top_confidence: Tensor
    mass_counts: Tensor
    mass_confidence: Tensor
    class_wise_counts: Tensor
    class_wise_confidence: Tensor
    errors: Tensor
    images: Tensor

    def __init__(self, *, num_classes: int, num_uncertainties: int) -> None:
        super().__init__()

        def add(name: str, *shape: int, dtype: torch.dtype = torch.int64) -> None:
            self.add_state(name, torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

        add("confusion", num_classes, num_classes)
        add("boundary", 2, num_classes)
        add("errors", num_uncertainties, 2, CELLS)
        add("images")
        add("nll", dtype=torch.float64)
        add("brier", dtype=torch.float64)
        top, class_wise = (2, num_classes, TOP_BINS), (num_classes, CLASS_WISE_BINS)
        for kind, shape in (("top", top), ("mass", (MASS_CELLS,)), ("class_wise", class_wise)):
            add(f"{kind}_counts", 2, *shape)
            add(f"{kind}_confidence", *shape, dtype=torch.float64)

    def update(self, batch: Tally) -> None:
        """Add one batch."""
        self.confusion += batch.confusion
        self.boundary += batch.boundary
        self.nll += batch.nll
        self.brier += batch.brier
        self.top_counts += batch.top_counts
        self.top_confidence += batch.top_confidence
        self.mass_counts += batch.mass_counts
        self.mass_confidence += batch.mass_confidence
        self.class_wise_counts += batch.class_wise_counts
        self.class_wise_confidence += batch.class_wise_confidence
        self.errors += batch.errors
        self.images += batch.images

    @property
    def local(self) -> Tally:
        """The tally of this process."""
        return Tally(**{name: state for name, state in self.metric_state.items() if isinstance(state, Tensor)})

    def compute(self) -> Tally:
        """The tally of everything so far, over all processes."""
        return self.local
