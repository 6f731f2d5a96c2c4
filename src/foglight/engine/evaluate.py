"""What a network says of whole images: plainly, over sliding windows, mirrored, at several scales, or under dropout.

Where several predictions meet they are averaged as probabilities, q = (1/n) sum_i softmax(z_i), never as logits.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from foglight.engine.windows import averaged_strips
from foglight.functional.extra_channels import flip_extra, resize_extra
from foglight.functional.gather import process_count
from foglight.functional.resize import resize
from foglight.metrics.segmentation import SegmentationMetrics, SegmentationScores
from foglight.models.ensemble import Ensemble
from foglight.models.network import Network
from foglight.types import Batch, ChannelKind, derive_seed

AnyNetwork = Network | Ensemble
# From log-probabilities "b k *grid" to logits whose softmax is calibrated.
Calibrator = Callable[[Tensor], Tensor]


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
        calibrator: takes the place of the temperature: a map from log-probabilities to calibrated logits, applied to
            every view, window and pass before their probabilities are averaged.
        seed: of the stochastic passes.
    """

    sliding: tuple[int, int] | None = None
    overlap: float = 0.5
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    mc: int = 0
    temperature: float = 1.0
    calibrator: Calibrator | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"expected an overlap in [0, 1), got {self.overlap}")
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"expected positive scales, got {self.scales}")
        if self.mc < 0 or self.temperature <= 0:
            raise ValueError(f"expected mc >= 0 and temperature > 0, got {self.mc} and {self.temperature}")
        if self.calibrator is not None and self.temperature != 1:
            raise ValueError(f"expected a calibrator or a temperature, got both (temperature {self.temperature})")

    @property
    def one_forward(self) -> bool:
        """Whether an image is seen once, whole and without dropout, so that calibrating it needs no other forward."""
        return self.sliding is None and not self.flip and len(self.scales) == 1 and self.mc == 0


def predict(
    network: AnyNetwork,
    image: Float[Tensor, "b 3 H W"],
    extra: Float[Tensor, "b x H W"] | None = None,
    *,
    settings: EvaluateSettings,
    extra_kinds: Sequence[ChannelKind] = (),
) -> Float[Tensor, "b k H W"]:
    """Log-probabilities on the image's grid; the network must be in eval mode.

    `extra_kinds` says what each extra channel measures, so that mirrored and resized views of it stay true.
    """
    height, width = image.shape[-2:]
    views = list(_views(image, extra, extra_kinds, settings))
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
    image: Tensor, extra: Tensor | None, kinds: Sequence[ChannelKind], settings: EvaluateSettings
) -> Iterator[tuple[Tensor, Tensor | None, bool]]:
    height, width = image.shape[-2:]
    for scale, mirrored in itertools.product(settings.scales, (False, True) if settings.flip else (False,)):
        size = (max(round(height * scale), 1), max(round(width * scale), 1))
        view = resize(image, size, align_corners=False)
        view_extra = None if extra is None else resize_extra(extra, kinds, size)
        if mirrored:
            view, view_extra = view.flip(-1), None if view_extra is None else flip_extra(view_extra, kinds)
        yield view, view_extra, mirrored


def _whole_or_sliding(
    network: AnyNetwork, image: Tensor, extra: Tensor | None, size: tuple[int, int], settings: EvaluateSettings
) -> Tensor:
    if settings.sliding is None:
        return _log_probabilities(network, image, extra, size, settings)
    height, width = image.shape[-2:]

    def seen(rows: slice, columns: slice) -> Tensor:
        view, part = image[..., rows, columns], None if extra is None else extra[..., rows, columns]
        return _log_probabilities(network, view, part, (view.shape[-2], view.shape[-1]), settings).exp()

    strips = averaged_strips(seen, (height, width), window=settings.sliding, overlap=settings.overlap)
    averaged = _log(torch.cat([strip for _, strip in strips], dim=2))
    # Probabilities, not log-probabilities, are linear under interpolation.
    return averaged if size == (height, width) else _log(resize(averaged.exp(), size, align_corners=False))


def _log_probabilities(
    network: AnyNetwork, image: Tensor, extra: Tensor | None, size: tuple[int, int], settings: EvaluateSettings
) -> Tensor:
    if settings.mc == 0:
        logits = network(image, extra).logits
        return log_probabilities_at(logits, size, network.align_corners, settings)
    seed = derive_seed(settings.seed, "predictive mean")
    passes = network.sample_logits(image, extra, passes=settings.mc, seed=seed)
    return _log(_mean(log_probabilities_at(logits, size, network.align_corners, settings).exp() for logits in passes))


def log_probabilities_at(
    logits: Float[Tensor, "b k h w"], size: tuple[int, int], align_corners: bool, settings: EvaluateSettings
) -> Float[Tensor, "b k H W"]:
    """Resized, then calibrated or divided by the temperature, as the settings say."""
    log_probability = torch.log_softmax(resize(logits, size, align_corners=align_corners) / settings.temperature, dim=1)
    return log_probability if settings.calibrator is None else settings.calibrator(log_probability).log_softmax(1)


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
    each = [settings or EvaluateSettings()]
    (scores,) = evaluate_each(
        network, batches, class_names=class_names, settings=each, boundary=boundary, progress=progress
    )
    return scores


@torch.no_grad()
def evaluate_each(
    network: AnyNetwork,
    batches: Iterable[Batch],
    *,
    class_names: Sequence[str],
    settings: Sequence[EvaluateSettings],
    boundary: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[SegmentationScores]:
    """Score several ways to predict in one pass over the data; neighbours that differ in the calibrator share forwards.

    Raises:
        ValueError: for a batch without labels.
    """
    was_training = network.training
    network.eval()
    metrics: list[SegmentationMetrics] = []
    try:
        for batch in batches:
            if batch.label is None:
                raise ValueError("expected labelled batches to score, got one without labels")
            for index, logits in enumerate(_predict_each(network, batch, settings)):
                if index == len(metrics):
                    metric = SegmentationMetrics(
                        logits.shape[1], class_names=class_names, ignore_index=batch.ignore_index, boundary=boundary
                    )
                    metrics.append(metric.to(logits.device))
                metrics[index].update(logits, batch.label)
            if progress is not None:
                progress(len(batch.image))
    finally:
        network.train(was_training)
    if not metrics:
        if process_count() == 1:
            raise ValueError("expected at least one batch to score, got none")
        # Fewer frames than processes: the others' counts are waiting for ours.
        device = next(network.parameters()).device
        metrics = [
            SegmentationMetrics(len(class_names), class_names=class_names, boundary=boundary).to(device)
            for _ in settings
        ]
    return [metric.compute() for metric in metrics]


def _predict_each(network: AnyNetwork, batch: Batch, settings: Sequence[EvaluateSettings]) -> Iterator[Tensor]:
    seen: EvaluateSettings | None = None
    logits = batch.image
    for one in settings:
        # After a single forward the calibrator may as well come last.
        needed = replace(one, calibrator=None) if one.one_forward else one
        if needed != seen or not one.one_forward:
            logits = predict(network, batch.image, batch.extra, settings=needed, extra_kinds=batch.extra_kinds)
            seen = needed
        last = one.calibrator if one.one_forward else None
        yield logits if last is None else last(logits).log_softmax(1)
