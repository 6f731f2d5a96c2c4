"""Masks and overlays for images on disk; a bad file is listed at the end and stops nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foglight.data.images import IMAGE_SUFFIXES, read_image
from foglight.data.sample import Sample
from foglight.data.transforms import resize_sample
from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.engine.progress import Progress, Silent
from foglight.errors import DataError, UserError
from foglight.functional.resize import resize
from foglight.models.network import Network


@final
@dataclass(frozen=True)
class PredictionSummary:
    """What was written.

    Attributes:
        written: number of masks.
        failed: path and reason of every image that could not be read.
        folder: where the masks lie.
    """

    written: int
    failed: tuple[tuple[Path, str], ...]
    folder: Path

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        failed = [{"path": str(path), "reason": reason} for path, reason in self.failed]
        return {"written": self.written, "failed": failed, "folder": str(self.folder)}


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files named, and all images directly inside the folders named.

    Raises:
        DataError: if there is none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        else:
            found.append(path)
    if not found:
        raise DataError(
            f"{', '.join(map(str, paths))}: no images", remedy=f"give files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return found


def predict_files(
    network: Network,
    paths: Sequence[Path],
    output: Path,
    *,
    palette: Sequence[tuple[int, int, int]],
    overlay: bool,
    alpha: float,
    input_size: tuple[int, int] | None = None,
    settings: EvaluateSettings | None = None,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Write `NAME.png` (palette mask) and, on request, `NAME_overlay.png` for every image.

    Args:
        network: the student.
        paths: images, or folders of images.
        output: the folder for the masks.
        palette: red, green, blue bytes by class.
        overlay: whether to write overlays too.
        alpha: the share of the mask's colour in an overlay.
        input_size: height and width at which the network looks at an image, whatever its own; masks have the image's.
        settings: how an image is predicted.
        progress: is told after every image.

    Raises:
        DataError: if there is no image at all.
    """
    progress = progress or Silent()
    network.eval()
    output.mkdir(parents=True, exist_ok=True)
    images = find_images(paths)
    failed: list[tuple[Path, str]] = []
    progress.begin("predicting", total=len(images), done=0)
    for number, path in enumerate(images, start=1):
        try:
            image = read_image(path)
        except UserError as error:
            failed.append((path, error.problem))
        else:
            mask = predicted_mask(network, image, settings or EvaluateSettings(), input_size=input_size)
            mask_image(mask, palette).save(output / f"{path.stem}.png")
            if overlay:
                overlay_image(image, mask, palette, alpha=alpha).save(output / f"{path.stem}_overlay.png")
        progress.advance(number, {})
    progress.end()
    return PredictionSummary(len(images) - len(failed), tuple(failed), output)


@torch.no_grad()
def predicted_mask(
    network: Network, image: Tensor, settings: EvaluateSettings, *, input_size: tuple[int, int] | None = None
) -> Tensor:
    """Class indices "H W" as bytes for one image of bytes "3 H W"."""
    device = next(network.parameters()).device
    seen = Sample("image", image, None, labelled=False)
    if input_size is not None:
        seen = resize_sample(seen, input_size)
    batch = seen.image.unsqueeze(0).to(device).float() / 255
    probabilities = predict(network, batch, settings=settings).exp()
    at_full_size = resize(probabilities, image.shape[1:], align_corners=False)
    return at_full_size.argmax(dim=1)[0].to(torch.uint8).cpu()


def mask_image(mask: Tensor, palette: Sequence[tuple[int, int, int]]) -> Image.Image:
    """A palette image whose values are class indices."""
    image = Image.fromarray(mask.numpy(), mode="P")
    image.putpalette([channel for colour in palette for channel in colour])
    return image


def overlay_image(image: Tensor, mask: Tensor, palette: Sequence[tuple[int, int, int]], *, alpha: float) -> Image.Image:
    """The mask's colours over the image, `alpha` of them."""
    colours = np.asarray(palette, dtype=np.float32)[mask.numpy()]
    picture = image.permute(1, 2, 0).numpy().astype(np.float32)
    return Image.fromarray(((1 - alpha) * picture + alpha * colours).round().clip(0, 255).astype(np.uint8))
