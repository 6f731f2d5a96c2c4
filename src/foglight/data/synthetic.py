"""fogtown: procedural street scenes in fog, with labels of 12 classes or 48 finer ones and exact depth.

Far regions are honestly hard in RGB: the fog takes their contrast before the sensor adds its noise, while depth keeps
them apart. A town has its own colours, houses, streets and weather; the towns of the three parts are different ones, so
the tune and report parts ask for generalisation to towns never seen. Frames are pure functions of (seed, town, index).

Cost: a few hundredths of a second per 128x256 frame on one core, no files.
"""

from typing import Final, Literal, final

import torch

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.groups import Part
from foglight.data.sample import Sample
from foglight.data.town.classes import COARSE, FINE_NAMES, FINE_TO_COARSE, fine_palette, to_coarse
from foglight.data.town.geometry import TOWN_EXTRAS, TownExtra, town_extra, town_kinds
from foglight.data.town.render import render

FIRST_TOWN: Final[dict[Part, int]] = {"train": 0, "tune": 1000, "report": 2000}
FINE_CLASSES: Final = len(FINE_NAMES)


def fine_to_coarse() -> tuple[int, ...]:
    """The class among 12 of each of the 48 finer classes."""
    return FINE_TO_COARSE


@final
class Fogtown(SegmentationDataset):
    """Frames of some towns, one after the other by turns.

    Args:
        towns: their numbers.
        frames: how many in all.
        seed: of every draw.
        size: height and width in pixels.
        classes: 12, or 48 finer ones.
        extra: what comes with each frame beside the picture: nothing, or depth (metres) or what follows from it.
        fog: multiplies the fog's density.
    """

    def __init__(
        self,
        towns: tuple[int, ...],
        *,
        frames: int,
        seed: int,
        size: tuple[int, int],
        classes: Literal[12, 48],
        extra: TownExtra,
        fog: float,
    ) -> None:
        places = [(towns[number % len(towns)], number // len(towns)) for number in range(frames)]
        names, palette = (tuple(COARSE), tuple(COARSE.values())) if classes == 12 else (FINE_NAMES, fine_palette())
        self.kinds = town_kinds(extra)
        super().__init__(
            DataInfo("fogtown", names, palette, extra_channels=len(self.kinds), extra_kinds=self.kinds),
            ids=tuple(f"town{town:04d}_{index:05d}" for town, index in places),
            groups=tuple(f"town{town:04d}" for town, _ in places),
        )
        self.places = tuple(places)
        self.seed = seed
        self.size = size
        self.classes = classes
        self.extra: TownExtra = extra
        self.fog = fog

    def __getitem__(self, index: int) -> Sample:
        town, number = self.places[index]
        frame = render(self.seed, town, number, size=self.size, fog=self.fog)
        label = frame.label if self.classes == FINE_CLASSES else to_coarse(frame.label)
        return Sample(
            self.ids[index],
            torch.from_numpy(frame.image).permute(2, 0, 1).contiguous(),
            torch.from_numpy(label),
            extra=town_extra(frame, self.extra),
            extra_kinds=self.kinds,
        )


def fogtown(
    *,
    part: Part,
    size: tuple[int, int] = (128, 256),
    frames: int | None = None,
    towns: int | None = None,
    seed: int = 0,
    classes: Literal[12, 48] = 12,
    extra: TownExtra = "none",
    fog: float = 1.0,
) -> Fogtown:
    """One part of fogtown.

    Args:
        part: which part; its towns are in no other part.
        size: height and width in pixels.
        frames: how many; None: 240 to train, 60 to tune, 60 to report.
        towns: how many; None: 24 to train, 12 to tune, 12 to report.
        seed: of every draw; another seed makes other towns.
        classes: 12, or 48 finer ones.
        extra: what comes with each frame beside the picture: nothing, or depth (metres) or what follows from it.
        fog: multiplies the fog's density; 0 is a clear day.

    Raises:
        ValueError: if an option is out of its range.
    """
    training = part == "train"
    frames = frames if frames is not None else 240 if training else 60
    count = towns if towns is not None else 24 if training else 12
    if classes not in (12, 48) or extra not in TOWN_EXTRAS:
        raise ValueError(f"expected classes 12 or 48 and extra {', '.join(TOWN_EXTRAS)}; got {classes} and {extra}")
    if frames < 1 or not 1 <= count <= 1000 or fog < 0 or min(size) < 16:
        raise ValueError(
            f"expected frames >= 1, 1..1000 towns, fog >= 0 and a size of at least 16x16, "
            f"got {frames}, {count}, {fog} and {size}"
        )
    first = FIRST_TOWN[part]
    return Fogtown(
        tuple(range(first, first + count)), frames=frames, seed=seed, size=size, classes=classes, extra=extra, fog=fog
    )
