"""What a network says of one image, reduced to classes strip by strip.

The probabilities of a whole image never stand in memory at once, nor do the moments over passes that uncertainty takes.

Symbols: k classes, H W the image, n the classes kept by soft labels.
Cost: of an image seen through windows of height h and width w that step by s rows: 3 bytes a pixel for the image (about
13 while it is decoded), 1 for the mask, 3 n for soft labels; 4 (k + 1) W (h + s) bytes for the sums over windows; one
window's forward, and four copies of its probabilities, 16 k h w bytes. Only the first part grows with H. Uncertainty
takes 4 bytes a pixel and map, and for the rest about 2 k maps where a prediction takes k.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foglight.data.sample import Sample
from foglight.data.soft_labels import SoftLabels
from foglight.data.transforms import resize_sample
from foglight.engine.evaluate import EvaluateSettings
from foglight.engine.strips import as_input, enlarged_strips, predicted_strips, window_by_window
from foglight.engine.uncertainty import PASSES, predictive_uncertainty
from foglight.engine.windows import averaged_strips
from foglight.functional.predictive_uncertainty import PredictiveUncertainty
from foglight.models.network import Network


@torch.no_grad()
def predicted(
    network: Network,
    image: UInt8[Tensor, "3 H W"],
    settings: EvaluateSettings,
    *,
    input_size: tuple[int, int] | None = None,
    soft: int = 0,
) -> tuple[UInt8[Tensor, "H W"], SoftLabels | None]:
    """Class indices of one image, and the `soft` most probable classes where there are to be any.

    Args:
        network: the student, in eval mode.
        image: bytes.
        settings: how it is predicted.
        input_size: height and width at which the network looks at it.
        soft: n, at most k are kept; 0 for no soft labels.
    """
    size = (image.shape[1], image.shape[2])
    kept = min(soft, network.num_classes)
    mask = torch.empty(size, dtype=torch.uint8)
    classes = torch.empty((kept, *size), dtype=torch.uint8)
    probabilities = torch.empty((kept, *size), dtype=torch.float16)
    for top, strip in predicted_strips(network, shown(image, input_size), size=size, settings=settings):
        rows = slice(top, top + strip.shape[2])
        mask[rows] = strip.argmax(dim=1)[0].to(mask)
        if kept:
            most = strip[0].topk(kept, dim=0)
            classes[:, rows], probabilities[:, rows] = most.indices.to(classes), most.values.to(probabilities)
    return mask, SoftLabels(classes, probabilities, network.num_classes) if kept else None


def predicted_mask(
    network: Network,
    image: UInt8[Tensor, "3 H W"],
    settings: EvaluateSettings,
    *,
    input_size: tuple[int, int] | None = None,
) -> UInt8[Tensor, "H W"]:
    """Class indices of one image alone."""
    return predicted(network, image, settings, input_size=input_size)[0]


@torch.no_grad()
def uncertainty_strips(
    network: Network,
    image: UInt8[Tensor, "3 H W"],
    settings: EvaluateSettings,
    *,
    input_size: tuple[int, int] | None = None,
    passes: int = PASSES,
) -> Iterator[tuple[int, PredictiveUncertainty]]:
    """Of one image, on its own grid and on the CPU, from top to bottom: strips, each with its first row.

    Through windows, the mean over the windows that cover a pixel of what each window says by itself.
    """
    seen, size = shown(image, input_size), (image.shape[1], image.shape[2])
    windows = window_by_window(settings, (seen.shape[1], seen.shape[2]), size)
    once = replace(settings, sliding=None) if windows else settings
    device = next(network.parameters()).device

    def inside(rows: slice, columns: slice) -> Float[Tensor, "1 maps rows columns"]:
        part = as_input(seen[:, rows, columns], device)
        return torch.cat(predictive_uncertainty(network, part, settings=once, passes=passes), dim=1)

    if settings.sliding is not None and windows:
        strips = averaged_strips(inside, size, window=settings.sliding, overlap=settings.overlap)
    else:
        strips = enlarged_strips(inside(slice(None), slice(None)), size)
    classes = network.num_classes
    for top, strip in strips:
        yield top, PredictiveUncertainty(*strip.cpu().split([classes, classes, 1, 1], dim=1))


def shown(image: UInt8[Tensor, "3 H W"], input_size: tuple[int, int] | None) -> UInt8[Tensor, "3 h w"]:
    """What the network sees of an image: itself, or itself at another size."""
    if input_size is None:
        return image
    return resize_sample(Sample("image", image, None, labelled=False), input_size).image
