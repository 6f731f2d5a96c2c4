"""What a network says of whole images: plainly, over sliding windows, mirrored, at several scales, or under dropout.

Where several predictions meet they are averaged as probabilities, q = (1/n) sum_i softmax(z_i), never as logits.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.functional.gather import process_count
from foglight.functional.resize import resize
from foglight.metrics.segmentation import SegmentationMetrics, SegmentationScores
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.types import Batch, derive_seed

AnyNetwork = Network | Ensemble


@final
@dataclass(frozen=True)
class EvaluateSettings:
    """How an image is predicted.

    Attributes:
        sliding: height and width of the window, None for the whole image at once.
        overlap: share of a window that neighbours share, in [0, 1).
        flip: also average over the mirrored image.
        scales: the image's sizes to average over, as factors.
        mc: number of stochastic dropout passes of the predictive mean; 0 for the deterministic network.
        temperature: divides the logits; 1 changes nothing.
        seed: of the stochastic passes.
    """

    sliding: tuple[int, int] | None = None
    overlap: float = 0.5
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    mc: int = 0
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"expected an overlap in [0, 1), got {self.overlap}")
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"expected positive scales, got {self.scales}")
        if self.mc < 0 or self.temperature <= 0:
            raise ValueError(f"expected mc >= 0 and temperature > 0, got {self.mc} and {self.temperature}")


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows begin so that they cover `length` and the last one ends at its end.

    >>> window_starts(10, 4, 0.5)
    [0, 2, 4, 6]
    >>> window_starts(3, 4, 0.5)
    [0]
    """
    if length <= window:
        return [0]
    step = max(int(window * (1 - overlap)), 1)
    starts = list(range(0, length - window, step))
    return [*starts, length - window]


def predict(
    network: AnyNetwork,
    image: Float[Tensor, "b 3 H W"],
    extra: Float[Tensor, "b x H W"] | None = None,
    *,
    settings: EvaluateSettings,
) -> Float[Tensor, "b k H W"]:
    """Log-probabilities on the image's grid; the network must be in eval mode."""
    height, width = image.shape[-2:]
    views = list(_views(image, extra, settings))
    if len(views) == 1:
        only_image, only_extra, _ = views[0]
        return _whole_or_sliding(network, only_image, only_extra, (height, width), settings)
    total = 0
    for view, view_extra, mirrored in views:
        log_probabilities = _whole_or_sliding(network, view, view_extra, (height, width), settings)
        probabilities = log_probabilities.exp()
        total = total + (probabilities.flip(-1) if mirrored else probabilities)
    return _log(torch.as_tensor(total) / len(views))


def _views(
    image: Tensor, extra: Tensor | None, settings: EvaluateSettings
) -> Iterator[tuple[Tensor, Tensor | None, bool]]:
    height, width = image.shape[-2:]
    for scale, mirrored in itertools.product(settings.scales, (False, True) if settings.flip else (False,)):
        size = (max(round(height * scale), 1), max(round(width * scale), 1))
        view = resize(image, size, align_corners=False)
        view_extra = None if extra is None else resize(extra, size, align_corners=False)
        if mirrored:
            view, view_extra = view.flip(-1), None if view_extra is None else view_extra.flip(-1)
        yield view, view_extra, mirrored


def _whole_or_sliding(
    network: AnyNetwork, image: Tensor, extra: Tensor | None, size: tuple[int, int], settings: EvaluateSettings
) -> Tensor:
    if settings.sliding is None:
        return _log_probabilities(network, image, extra, size, settings)
    height, width = image.shape[-2:]
    window = (min(settings.sliding[0], height), min(settings.sliding[1], width))
    total: Tensor | None = None
    count = image.new_zeros((1, 1, height, width))
    for top in window_starts(height, window[0], settings.overlap):
        for left in window_starts(width, window[1], settings.overlap):
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            part = None if extra is None else extra[..., rows, columns]
            probabilities = _log_probabilities(network, image[..., rows, columns], part, window, settings).exp()
            if total is None:
                total = image.new_zeros((*probabilities.shape[:2], height, width))
            total[..., rows, columns] += probabilities
            count[..., rows, columns] += 1
    if total is None:
        raise ValueError(f"expected an image of at least one pixel, got {height}x{width}")
    averaged = _log(total / count)
    # Probabilities, not log-probabilities, are linear under interpolation.
    return averaged if size == (height, width) else _log(resize(averaged.exp(), size, align_corners=False))


def _log_probabilities(
    network: AnyNetwork, image: Tensor, extra: Tensor | None, size: tuple[int, int], settings: EvaluateSettings
) -> Tensor:
    if settings.mc == 0:
        logits = network(image, extra).logits
        return _at_size(logits, size, network.align_corners, settings.temperature)
    seed = derive_seed(settings.seed, "predictive mean")
    passes = network.sample_logits(image, extra, passes=settings.mc, seed=seed)
    return _log(_mean(_at_size(logits, size, network.align_corners, settings.temperature).exp() for logits in passes))


def _at_size(logits: Tensor, size: tuple[int, int], align_corners: bool, temperature: float) -> Tensor:
    return torch.log_softmax(resize(logits, size, align_corners=align_corners) / temperature, dim=1)


def _mean(values: Iterable[Tensor]) -> Tensor:
    total: Tensor | None = None
    count = 0
    for value in values:
        total = value if total is None else total + value
        count += 1
    if total is None:
        raise ValueError("expected at least one pass, got none")
    return total / count


def _log(probabilities: Tensor) -> Tensor:
    # A probability that underflowed to 0 has no logarithm; the smallest normal number keeps the NLL finite.
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


@torch.no_grad()
def evaluate(
    network: AnyNetwork,
    batches: Iterable[Batch],
    *,
    class_names: Sequence[str],
    settings: EvaluateSettings | None = None,
    boundary: bool = True,
    progress: Callable[[int], None] | None = None,
) -> SegmentationScores:
    """Score a network on labelled batches, of all processes together; its mode is put back afterwards.

    Raises:
        ValueError: for a batch without labels.
    """
    settings = settings or EvaluateSettings()
    was_training = network.training
    network.eval()
    metrics: SegmentationMetrics | None = None
    try:
        for batch in batches:
            if batch.label is None:
                raise ValueError("expected labelled batches to score, got one without labels")
            logits = predict(network, batch.image, batch.extra, settings=settings)
            if metrics is None:
                metrics = SegmentationMetrics(
                    logits.shape[1], class_names=class_names, ignore_index=batch.ignore_index, boundary=boundary
                ).to(logits.device)
            metrics.update(logits, batch.label)
            if progress is not None:
                progress(len(batch.image))
    finally:
        network.train(was_training)
    if metrics is None:
        if process_count() == 1:
            raise ValueError("expected at least one batch to score, got none")
        # Fewer frames than processes: the others' counts are waiting for ours.
        device = next(network.parameters()).device
        metrics = SegmentationMetrics(len(class_names), class_names=class_names, boundary=boundary).to(device)
    return metrics.compute()
