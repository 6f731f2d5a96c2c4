"""Uncertainty maps as files: 16-bit grey PNGs of one stated scale, or exact .npy, and a coloured preview of each.

    grey = round(65535 * value / maximum),    maximum: 1/2 for sigma, log k nats for entropy and mutual information

`uncertainty.json` in the same folder says the scale and what was computed. A preview is stretched to the largest value
of its own map, because mutual information is often a hundredth of its maximum: look at one, do not compare two.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from foglight.atomic import write_atomically, write_json
from foglight.engine.uncertainty import Uncertainty
from foglight.functional.predictive_uncertainty import PredictiveUncertainty

SIDECAR: Final = "uncertainty.json"
_GREY_MAX: Final = 65535
_MEANING: Final[Mapping[Uncertainty, str]] = {
    "sigma": "standard deviation over the passes of the predicted class's probability",
    "entropy": "entropy of the predictive mean, in nats",
    "mutual-information": "entropy of the predictive mean minus the mean entropy of the passes, in nats",
}


def maximum(kind: Uncertainty, num_classes: int) -> float:
    """The largest value that a map can hold.

    >>> maximum("sigma", 4), round(maximum("entropy", 4), 4)
    (0.5, 1.3863)
    """
    return 0.5 if kind == "sigma" else math.log(num_classes)


def grey_levels(values: Float[Tensor, "H W"], highest: float) -> Image.Image:
    """A 16-bit image in which `highest` is 65535.

    >>> np.asarray(grey_levels(torch.tensor([[0.0, 0.25, 0.5]]), 0.5)).tolist()
    [[0, 32768, 65535]]
    """
    levels = (values.double() / highest * _GREY_MAX).round().clamp(0, _GREY_MAX)
    return Image.fromarray(levels.numpy().astype(np.uint16))


def preview(values: Float[Tensor, "H W"]) -> Image.Image:
    """Dark for 0, bright for the largest value of this map."""
    # The smallest normal number keeps a map of zeros dark.
    share = values / values.max().clamp_min(torch.finfo(values.dtype).tiny)
    return Image.fromarray((colormaps["magma"](share.numpy())[..., :3] * 255).round().astype(np.uint8))


def maps_of(
    kinds: Sequence[Uncertainty], found: PredictiveUncertainty, mask: UInt8[Tensor, "H W"]
) -> dict[Uncertainty, Float[Tensor, "H W"]]:
    """Of the first image; sigma is that of the class in `mask`."""
    every: dict[Uncertainty, Tensor] = {
        "sigma": found.sigma[0].gather(0, mask.long().unsqueeze(0))[0],
        "entropy": found.entropy[0, 0],
        "mutual-information": found.mutual_information[0, 0],
    }
    return {kind: every[kind] for kind in kinds}


def write_maps(
    maps: Mapping[Uncertainty, Float[Tensor, "H W"]], folder: Path, stem: str, *, num_classes: int, raw: bool
) -> None:
    """`STEM_KIND.png` (or `.npy`) and `STEM_KIND_preview.png` of every map."""
    for kind, values in maps.items():
        path = folder / f"{stem}_{kind}"
        if raw:
            exact = values.numpy().astype(np.float32)
            write_atomically(path.with_name(f"{path.name}.npy"), lambda file, exact=exact: np.save(file, exact))
        else:
            _save(grey_levels(values, maximum(kind, num_classes)), path.with_name(f"{path.name}.png"))
        _save(preview(values), path.with_name(f"{path.name}_preview.png"))


def write_sidecar(folder: Path, kinds: Sequence[Uncertainty], *, num_classes: int, raw: bool, made_by: Any) -> None:
    """What the files of a folder mean.

    Args:
        folder: of the maps.
        kinds: that were written.
        num_classes: k.
        raw: whether they are .npy files of the values themselves.
        made_by: passes, calibration and provenance; plain JSON values.
    """
    maps = {
        kind: {
            "files": f"*_{kind}.{'npy' if raw else 'png'}",
            "meaning": _MEANING[kind],
            "maximum": maximum(kind, num_classes),
            "scale": 1.0 if raw else maximum(kind, num_classes) / _GREY_MAX,
        }
        for kind in kinds
    }
    content = {"value": "scale * stored number", "maps": maps, "num_classes": num_classes, **made_by}
    write_json(folder / SIDECAR, content)


def _save(image: Image.Image, path: Path) -> None:
    write_atomically(path, lambda file: image.save(file, format="PNG"))
