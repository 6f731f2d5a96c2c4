"""Masks, overlays and uncertainty maps for images on disk; a bad file is listed at the end and stops nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from foglight.engine.uncertainty import PASSES, Uncertainty, predictive_uncertainty, require_dropout
from foglight.errors import DataError, UserError
from foglight.functional.predictive_uncertainty import PredictiveUncertainty
from foglight.functional.resize import resize
from foglight.models.network import Network
from foglight.report.uncertainty_maps import maps_of, write_maps, write_sidecar


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


@final
@dataclass(frozen=True)
class UncertaintyRequest:
    """Which maps are written beside each mask.

    Attributes:
        kinds: of them.
        passes: stochastic passes of a network with dropout.
        raw: whether as .npy instead of 16-bit PNG.
        made_by: what the sidecar also says; plain JSON values.
    """

    kinds: tuple[Uncertainty, ...]
    passes: int = PASSES
    raw: bool = False
    made_by: Mapping[str, Any] = field(default_factory=dict)


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
    uncertainty: UncertaintyRequest | None = None,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Write `NAME.png` (palette mask) and, on request, `NAME_overlay.png` and uncertainty maps for every image.

    Args:
        network: the student.
        paths: images, or folders of images.
        output: the folder for the masks.
        palette: red, green, blue bytes by class.
        overlay: whether to write overlays too.
        alpha: the share of the mask's colour in an overlay.
        input_size: height and width at which the network looks at an image, whatever its own; masks have the image's.
        settings: how an image is predicted.
        uncertainty: the maps that are written too.
        progress: is told after every image.

    Raises:
        ConfigurationError: if a map is wanted that the network, without dropout, does not have.
        DataError: if there is no image at all.
    """
    progress, settings = progress or Silent(), settings or EvaluateSettings()
    network.eval()
    images = find_images(paths)
    if uncertainty is not None:
        require_dropout(network, uncertainty.kinds)
    output.mkdir(parents=True, exist_ok=True)
    failed: list[tuple[Path, str]] = []
    progress.begin("predicting", total=len(images), done=0)
    for number, path in enumerate(images, start=1):
        try:
            image = read_image(path)
        except UserError as error:
            failed.append((path, error.problem))
        else:
            mask = predicted_mask(network, image, settings, input_size=input_size)
            mask_image(mask, palette).save(output / f"{path.stem}.png")
            if overlay:
                overlay_image(image, mask, palette, alpha=alpha).save(output / f"{path.stem}_overlay.png")
            if uncertainty is not None:
                found = image_uncertainty(network, image, settings, input_size=input_size, passes=uncertainty.passes)
                maps = maps_of(uncertainty.kinds, found, mask)
                write_maps(maps, output, path.stem, num_classes=network.num_classes, raw=uncertainty.raw)
        progress.advance(number, {})
    progress.end()
    if uncertainty is not None:
        write_sidecar(
            output,
            uncertainty.kinds,
            num_classes=network.num_classes,
            raw=uncertainty.raw,
            # Without dropout there is one pass, whatever was asked for.
            made_by={"passes": uncertainty.passes if network.active_dropouts() else 1, **uncertainty.made_by},
        )
    return PredictionSummary(len(images) - len(failed), tuple(failed), output)


@torch.no_grad()
def predicted_mask(
    network: Network, image: Tensor, settings: EvaluateSettings, *, input_size: tuple[int, int] | None = None
) -> Tensor:
    """Class indices "H W" as bytes for one image of bytes "3 H W"."""
    probabilities = predict(network, _seen(network, image, input_size), settings=settings).exp()
    at_full_size = resize(probabilities, image.shape[1:], align_corners=False)
    return at_full_size.argmax(dim=1)[0].to(torch.uint8).cpu()


@torch.no_grad()
def image_uncertainty(
    network: Network,
    image: Tensor,
    settings: EvaluateSettings,
    *,
    input_size: tuple[int, int] | None = None,
    passes: int = PASSES,
) -> PredictiveUncertainty:
    """Of one image of bytes "3 H W", on its own grid; a batch of one, on the CPU."""
    found = predictive_uncertainty(network, _seen(network, image, input_size), settings=settings, passes=passes)
    return PredictiveUncertainty(*(resize(values, image.shape[1:], align_corners=False).cpu() for values in found))


def _seen(network: Network, image: Tensor, input_size: tuple[int, int] | None) -> Tensor:
    """What the network is shown of an image, "1 3 h w" in [0, 1]."""
    seen = Sample("image", image, None, labelled=False)
    if input_size is not None:
        seen = resize_sample(seen, input_size)
    return seen.image.unsqueeze(0).to(next(network.parameters()).device).float() / 255


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
