"""The data of a report and one network's look at it: frames are streamed, a few predictions are kept.

The frames that are shown are evenly spaced over the report part, so that nobody picks them by their result.
"""

from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import UInt8
from torch import Tensor

from foglight.config.build import build_part, whole_images
from foglight.config.schema import DataConfig
from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.sample import Sample, collate
from foglight.engine.calibrate import RawAndScaled, raw_and_scaled
from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.errors import ConfigurationError
from foglight.models.network import Network
from foglight.types import Batch

PARTS: Final = ("train", "tune", "report")


@final
@dataclass(frozen=True)
class Scene:
    """What all networks of a report are shown.

    Attributes:
        config: of the data.
        parts: train, tune and report.
        chosen: positions in the report part of the frames that are shown.
        device: where networks run.
    """

    config: DataConfig
    parts: dict[str, SegmentationDataset]
    chosen: tuple[int, ...]
    device: str

    @property
    def info(self) -> DataInfo:
        """Of the report part."""
        return self.parts["report"].info

    @property
    def rule(self) -> str:
        """How the frames were chosen, in a sentence."""
        return (
            f"{len(self.chosen)} of the {len(self.parts['report'])} frames of the report part, evenly spaced by their "
            "position in it (the first, then every n-th); none was chosen by its result."
        )

    def sample(self, index: int) -> Sample:
        """A frame of the report part."""
        return self.parts["report"][index]

    def batch(self, index: int) -> Batch:
        """That frame alone, on the device."""
        return collate([self.sample(index)]).to(self.device)


def build_scene(config: DataConfig, *, images: int, device: str) -> Scene:
    """The three parts, and which frames are shown.

    Raises:
        UserError: if the data cannot be read.
    """
    parts = {name: build_part(config, name) for name in PARTS}
    return Scene(config, parts, evenly_spaced(len(parts["report"]), images), device)


def evenly_spaced(length: int, number: int) -> tuple[int, ...]:
    """Positions that lie evenly in a sequence, the first among them.

    >>> evenly_spaced(10, 4), evenly_spaced(2, 6), evenly_spaced(10, 0)
    ((0, 2, 5, 7), (0, 1), ())
    """
    return tuple(dict.fromkeys(index * length // number for index in range(number))) if length else ()


def score(network: Network, scene: Scene) -> RawAndScaled:
    """On the report part, raw and with a temperature that is fitted on the tune part.

    Raises:
        ConfigurationError: if the network's classes are not the data's.
    """
    if network.num_classes != scene.info.num_classes:
        raise ConfigurationError(
            f"{network.name} predicts {network.num_classes} classes, {scene.info.name} has {scene.info.num_classes}",
            remedy="compare networks on data with their classes",
        )
    tune, report = (whole_images(scene.parts[name], scene.config) for name in ("tune", "report"))
    return raw_and_scaled(network, tune, report, class_names=scene.info.class_names)


@torch.no_grad()
def predicted_masks(network: Network, scene: Scene) -> tuple[UInt8[Tensor, "H W"], ...]:
    """The network's classes in each of the chosen frames."""
    network.eval()
    masks: list[Tensor] = []
    for index in scene.chosen:
        batch = scene.batch(index)
        said = predict(network, batch.image, batch.extra, settings=EvaluateSettings(), extra_kinds=batch.extra_kinds)
        masks.append(said[0].max(0).indices.to(torch.uint8).cpu())
    return tuple(masks)
