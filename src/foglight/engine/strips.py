"""What a network says of one image of any size, in strips of rows whose memory does not grow with the image's height.

Through windows, a strip is what `engine.windows` has finished. Seen whole, or at another size than its own, an image is
predicted on the network's grid first, and only its enlargement comes in strips: row i of the new grid reads row
(i + 1/2) h / H - 1/2 of the old one, as `functional.resize` does without aligned corners.

Symbols: k classes, h w the grid of the prediction, H W that of the image, bytes.
Cost: through windows as `averaged_strips` says, and the image stays bytes: only one window at a time becomes floats.
Mirrored views and several scales belong to whole images, which are then held whole: 4 k H W bytes, several times.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foglight.engine.evaluate import AnyNetwork, EvaluateSettings, predict
from foglight.engine.windows import averaged_strips
from foglight.functional.resize import resize
from foglight.functional.row_budget import rows_within_budget

Strip = tuple[int, Float[Tensor, "1 k rows W"]]


@torch.no_grad()
def predicted_strips(
    network: AnyNetwork, image: UInt8[Tensor, "3 h w"], *, size: tuple[int, int], settings: EvaluateSettings
) -> Iterator[Strip]:
    """Probabilities from top to bottom, each strip with its first row; the network must be in eval mode.

    Args:
        network: the student.
        image: what it is shown.
        size: height and width of the result.
        settings: how an image is predicted.
    """
    device = next(network.parameters()).device
    shown = (image.shape[1], image.shape[2])
    if settings.sliding is not None and window_by_window(settings, shown, size):
        once = replace(settings, sliding=None)

        def seen(rows: slice, columns: slice) -> Tensor:
            return predict(network, as_input(image[:, rows, columns], device), settings=once).exp()

        yield from averaged_strips(seen, shown, window=settings.sliding, overlap=settings.overlap)
    else:
        yield from enlarged_strips(predict(network, as_input(image, device), settings=settings).exp(), size)


def window_by_window(settings: EvaluateSettings, shown: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether every window can be taken by itself: no mirrored view or other scale, and shown at its own size."""
    return settings.sliding is not None and not settings.flip and settings.scales == (1.0,) and shown == size


def enlarged_strips(
    values: Float[Tensor, "1 k h w"], size: tuple[int, int], *, rows: int | None = None
) -> Iterator[Strip]:
    """Bilinear without aligned corners.

    Args:
        values: linear ones, such as probabilities.
        size: height and width of the result.
        rows: of a strip; as many as a fixed amount of memory holds where not given.

    >>> [(top, strip.flatten().tolist()) for top, strip in enlarged_strips(torch.eye(2)[None, None], (4, 1), rows=3)]
    [(0, [0.5, 0.5, 0.5]), (3, [0.5])]
    """
    (old, _), (height, width) = values.shape[2:], size
    rows = rows or rows_within_budget(values.shape[1] * width, bytes_per_number=4, matrices=2)
    for top in range(0, height, rows):
        wanted = torch.arange(top, min(top + rows, height), device=values.device)
        position = ((wanted.double() + 0.5) * old / height - 0.5).clamp_min(0)
        above = position.long()
        share = (position - above).to(values.dtype)[:, None]
        lines = torch.lerp(values[:, :, above], values[:, :, (above + 1).clamp_max(old - 1)], share)
        yield top, resize(lines, (len(wanted), width), align_corners=False)


def as_input(image: UInt8[Tensor, "3 h w"], device: torch.device) -> Float[Tensor, "1 3 h w"]:
    """Bytes as a network takes them: a batch of one in [0, 1], on its device."""
    return image.unsqueeze(0).to(device).float() / 255
