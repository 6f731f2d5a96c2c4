"""Every labelled pixel of some frames with what a network says of it, as often as a fit wants to see them.

Log-probabilities stay in memory where all of them fit, else the network runs again for every pass.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foglight.engine.evaluate import AnyNetwork, EvaluateSettings, predict
from foglight.errors import UserError
from foglight.types import Batch

KEPT_BYTES: Final = 1 << 30


class Pixels(NamedTuple):
    """The labelled pixels of one batch.

    Attributes:
        log_probability: as the network says them.
        label: class indices.
        predicted: the most probable class.
    """

    log_probability: Float[Tensor, "n k"]
    label: Int64[Tensor, " n"]
    predicted: Int64[Tensor, " n"]


@final
class LabelledPixels:
    """All labelled pixels, batch by batch, as often as wanted; kept in memory where they fit.

    Args:
        network: in eval mode.
        batches: labelled.
        kept_bytes: largest size that is kept.

    Raises:
        ValueError: for a generator.
    """

    def __init__(self, network: AnyNetwork, batches: Iterable[Batch], *, kept_bytes: int) -> None:
        if isinstance(batches, Iterator):
            raise ValueError("expected batches that can be iterated again, such as a list, got a generator")
        self.network = network
        self.batches = batches
        self.kept_bytes = kept_bytes
        self.frames = 0
        self.pixels = 0
        self.predicted = torch.zeros(network.num_classes, dtype=torch.int64)
        self._kept: list[Pixels] | None = None

    def __iter__(self) -> Iterator[Pixels]:
        if self._kept is not None:
            yield from self._kept
            return
        self.frames, self.pixels, size = 0, 0, 0
        self.predicted.zero_()
        kept: list[Pixels] = []
        for batch in on_device(self.network, self.batches):
            found = self._read(batch)
            self.frames += len(batch.image)
            self.pixels += len(found.label)
            self.predicted += torch.bincount(found.predicted, minlength=len(self.predicted)).cpu()
            size += sum(values.nbytes for values in found)
            if size <= self.kept_bytes:
                kept.append(found)
            else:
                kept.clear()
            yield found
        if size <= self.kept_bytes:
            self._kept = kept

    def require_any(self) -> None:
        """Refuse to fit on nothing.

        Raises:
            UserError: if a whole pass has found no labelled pixel.
        """
        if not self.pixels:
            raise UserError(
                f"{self.network.name}: none of the {self.frames} frames has a labelled pixel to calibrate on",
                remedy="choose another `--part`, or check the masks with `foglight check-data`",
            )

    def _read(self, batch: Batch) -> Pixels:
        if batch.label is None:
            raise ValueError("expected labelled batches to calibrate on, got one without labels")
        log_probability = predict(
            self.network, batch.image, batch.extra, settings=EvaluateSettings(), extra_kinds=batch.extra_kinds
        )
        # Over the channel axis as it lies in memory: over a last axis of k it is many times slower.
        predicted = log_probability.max(1).indices
        valid = batch.valid
        return Pixels(log_probability.movedim(1, -1)[valid], batch.label[valid].long(), predicted[valid])


@contextmanager
def deterministic(network: AnyNetwork) -> Generator[None]:
    """In eval mode and without gradient; the mode is put back."""
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(was_training)


def on_device(network: AnyNetwork, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches where the network is."""
    device = next(network.parameters()).device
    return (batch.to(device) for batch in batches)
