"""Depth maps of a folder of images, made once by a network and kept as 16-bit PNG files with one description.

A metric network's metres are stored in steps of `unit`. A relative network says only which pixel is nearer, up to an
unknown scale and shift that differ from image to image: each of its maps is stretched to 1/65535 (farthest) .. 1
(nearest) and called `other`, because it is neither metres nor 1/metre. Zero, "not measured", is written for neither.

Maps that are already there are kept, so that an interrupted run goes on; each one is written whole or not at all.
Source: the transformers library's depth-estimation networks (DPT: Ranftl et al., 2021; Depth Anything: Yang et al.,
2024). Cost: one forward pass per image.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from PIL import Image
from torch import Tensor

from foglight.atomic import write_atomically, write_json
from foglight.data.depth_files import SIDECAR
from foglight.data.images import read_image
from foglight.errors import CheckpointError, ConfigurationError, DataError, UserError

STEPS: Final = 65535
# A metric network that sees no farther than this gets millimetres, any other centimetres.
MILLIMETRE_RANGE: Final = 65.0


@final
@dataclass(frozen=True)
class DepthNetwork:
    """A network that has been loaded.

    Attributes:
        name: a folder or a name on the hub.
        unit: metres per step; None where the network tells only what is nearer.
        predict: an image's map at the image's size.
    """

    name: str
    unit: float | None
    predict: Callable[[UInt8[Tensor, "3 H W"]], Float[Tensor, "H W"]]


@final
@dataclass(frozen=True)
class DepthSummary:
    """What was done.

    Attributes:
        written: number of new maps.
        kept: number of maps that were there.
        failed: image and reason.
        folder: where the maps lie.
    """

    written: int
    kept: int
    failed: tuple[tuple[Path, str], ...]
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists and numbers."""
        failed = [{"file": str(path), "reason": reason} for path, reason in self.failed]
        return {"written": self.written, "kept": self.kept, "failed": failed, "folder": str(self.folder)}


def load_depth_network(name: str, *, device: str) -> DepthNetwork:
    """A depth-estimation network of the transformers library, in eval mode.

    Args:
        name: a folder that `save_pretrained` wrote, or a name on the hub.
        device: such as cpu.

    Raises:
        ConfigurationError: if transformers is not installed.
        CheckpointError: if there is no such network.
    """
    try:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation
    except ImportError as error:
        raise ConfigurationError(
            "depth networks come from transformers, which is not installed", remedy='run `pip install "foglight[hf]"`'
        ) from error
    try:
        network = AutoModelForDepthEstimation.from_pretrained(name).eval().to(device)
        processor = AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{name}: no depth network can be loaded ({' '.join(str(error).split())})",
            remedy="name a folder with config.json, model.safetensors and preprocessor_config.json, or a network on "
            "the hub such as depth-anything/Depth-Anything-V2-Small-hf",
        ) from error
    metric = getattr(network.config, "depth_estimation_type", "relative") == "metric"
    farthest = float(getattr(network.config, "max_depth", None) or MILLIMETRE_RANGE)

    @torch.no_grad()
    def predict(image: UInt8[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
        inputs = processor(images=image, return_tensors="pt").to(device)
        predicted = network(**inputs).predicted_depth[:, None].float()
        size = (image.shape[1], image.shape[2])
        return torch.nn.functional.interpolate(predicted, size, mode="bilinear", align_corners=False)[0, 0].cpu()

    return DepthNetwork(name, (0.001 if farthest <= MILLIMETRE_RANGE else 0.01) if metric else None, predict)


def to_steps(depth: Float[Tensor, "H W"], unit: float | None) -> UInt16[np.ndarray, "H W"]:
    """A map as whole numbers 1..65535.

    >>> to_steps(torch.tensor([[0.0, 1.0, 3.0]]), None).tolist()
    [[1, 21846, 65535]]
    >>> to_steps(torch.tensor([[0.0, 1.0, 700.0]]), 0.01).tolist()
    [[1, 100, 65535]]

    Raises:
        ValueError: if a value is not finite.
    """
    values = depth.double()
    if not bool(torch.isfinite(values).all()):
        raise ValueError("the network's depth is not finite")
    if unit is None:
        low, high = values.min(), values.max()
        share = (values - low) / (high - low) if bool(high > low) else torch.ones_like(values)
        steps = 1 + share * (STEPS - 1)
    else:
        steps = values / unit
    return steps.round().clamp(1, STEPS).numpy().astype(np.uint16)


def write_depth_maps(
    images: Mapping[str, Path], folder: Path, network: DepthNetwork, *, on_done: Callable[[int], None]
) -> DepthSummary:
    """One map per image that has none yet; a bad image is listed and stops nothing.

    Args:
        images: by stem, which becomes the map's path.
        folder: where the maps go.
        network: makes them.
        on_done: is told how many images are behind.

    Raises:
        DataError: if the folder holds maps of another network.
        OSError: from the file system.
    """
    _describe(folder, network)
    written, kept, failed = 0, 0, list[tuple[Path, str]]()
    for number, (stem, path) in enumerate(images.items(), start=1):
        target = folder / f"{stem}.png"
        if target.is_file():
            kept += 1
        else:
            try:
                picture = Image.fromarray(to_steps(network.predict(read_image(path)), network.unit))
                write_atomically(target, lambda file, picture=picture: picture.save(file, format="PNG"))
                written += 1
            except (UserError, ValueError) as error:
                failed.append((path, str(error)))
        on_done(number)
    return DepthSummary(written, kept, tuple(failed), folder)


def _describe(folder: Path, network: DepthNetwork) -> None:
    path = folder / SIDECAR
    kind, unit = ("other", 1 / STEPS) if network.unit is None else ("depth", network.unit)
    content = {"kind": kind, "unit": unit, "network": network.name}
    if not path.is_file():
        write_json(path, content)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error})", remedy="name another folder with -o") from error
    if found != content:
        raise DataError(
            f"{path}: the folder holds maps of {found.get('network')!r} ({found.get('kind')}), expected those of "
            f"{network.name!r} ({kind})",
            remedy="name another folder with -o",
        )
