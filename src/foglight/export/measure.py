"""What an exported file says against the network that it came from, and how long either takes.

Over the same labelled images: the largest difference of the logits, the share of pixels with the same class, mIoU of
each, and the median latency of one image, forms taking turns.
"""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import Tensor

from foglight.export.onnx_file import Runner
from foglight.functional.resize import resize
from foglight.metrics.segmentation import SegmentationMetrics
from foglight.types import Batch

REFERENCE: Final = "pytorch"
WARM_UP: Final = 2
TIMED: Final = 15


@final
@dataclass(frozen=True)
class Parity:
    """One form against the network.

    Attributes:
        form: pytorch, or the kind of file.
        max_difference: of the logits; 0 for the network itself.
        agreement: share of pixels whose most likely class is the network's.
        miou: over the labelled images; None where no class occurs.
        latency: median seconds of one image.
        images: on how many this was measured.
    """

    form: str
    max_difference: float
    agreement: float
    miou: float | None
    latency: float
    images: int

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return vars(self)


@torch.no_grad()
def measure_forms(
    forms: Mapping[str, Runner],
    batches: Iterable[Batch],
    *,
    class_names: Sequence[str],
    corners: bool,
    timed: int = TIMED,
) -> list[Parity]:
    """Compare every form with the first, image by image.

    Args:
        forms: by name; the first is the reference.
        batches: labelled; taken one image at a time.
        class_names: of the labels.
        corners: how logits on a head's grid are brought to the label's.
        timed: timed runs per form, after two for warming up.

    Raises:
        ValueError: without forms or images.
    """
    reference = next(iter(forms), None)
    if reference is None:
        raise ValueError("expected at least one form to measure, got none")
    difference, same = dict.fromkeys(forms, 0.0), dict.fromkeys(forms, 0)
    pixels = images = 0
    metrics: dict[str, SegmentationMetrics] = {}
    image: Tensor | None = None
    for batch in batches:
        if batch.label is None:
            raise ValueError("expected labelled batches, got one without labels")
        for index in range(len(batch.image)):
            image, label = batch.image[index : index + 1], batch.label[index : index + 1]
            expected = forms[reference](image)
            at_label = resize(expected, label.shape[1:], align_corners=corners)
            pixels, images = pixels + label.numel(), images + 1
            for name, run in forms.items():
                found = expected if name == reference else run(image)
                said = at_label if name == reference else resize(found, label.shape[1:], align_corners=corners)
                difference[name] = max(difference[name], float((found - expected).abs().max()))
                same[name] += int((said.argmax(1) == at_label.argmax(1)).sum())
                if name not in metrics:
                    metrics[name] = SegmentationMetrics(
                        said.shape[1], class_names=class_names, ignore_index=batch.ignore_index, boundary=False
                    )
                metrics[name].update(said, label)
    if image is None:
        raise ValueError("expected at least one image to measure on, got none")
    seconds = _latencies(forms, image, timed)
    return [
        Parity(name, difference[name], same[name] / pixels, metrics[name].compute().miou, seconds[name], images)
        for name in forms
    ]


def _latencies(forms: Mapping[str, Runner], image: Tensor, timed: int) -> dict[str, float]:
    """In turn, so that a noisy machine is noisy for all alike."""
    measured: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(WARM_UP + timed):
        for name, run in forms.items():
            start = time.perf_counter()
            run(image)
            if turn >= WARM_UP:
                measured[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in measured.items()}
