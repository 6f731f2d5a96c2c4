"""Tiny data sets on disk and in memory for the tests of the data wing."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.sample import Sample

NAMES = ("road", "grass", "sky")
PALETTE = ((128, 64, 128), (0, 160, 0), (70, 130, 180))
CLASSES_YAML = "names: [road, grass, sky]\npalette: [[128, 64, 128], [0, 160, 0], '#4682b4']\n"
DRIVES = {"0001TP": 2, "0006R0": 3, "0016E5": 4}


def write_image(path: Path, size: tuple[int, int] = (12, 16), *, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path: Path, values: np.ndarray | None = None, size: tuple[int, int] = (12, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is None:
        values = np.arange(size[0])[:, None] * 3 // size[0] + np.zeros(size[1], np.int64)
    Image.fromarray(values.astype(np.uint8)).save(path)


def write_folder(root: Path, *, groups: int = 4, frames: int = 2, size: tuple[int, int] = (12, 16)) -> Path:
    """An own folder with index masks: drive0_000.png, drive0_001.png, drive1_000.png, ..."""
    for group in range(groups):
        for frame in range(frames):
            stem = f"drive{group}_{frame:03d}.png"
            write_image(root / "images" / stem, size, seed=10 * group + frame)
            write_mask(root / "masks" / stem, size=size)
    (root / "classes.yaml").write_text(CLASSES_YAML)
    return root


def write_camvid(root: Path, *, suffix: str = ".jpg") -> Path:
    """CamVid's layout with a few frames of each drive of train, and one clip of 0016E5 as val."""
    stems = {"train": [f"{drive}_{i:05d}" for drive, count in DRIVES.items() for i in range(count)]}
    stems["val"] = [f"0016E5_{i:05d}" for i in range(100, 103)]
    for part, names in stems.items():
        for number, stem in enumerate(names):
            write_image(root / part / f"{stem}{suffix}", seed=number)
            write_mask(root / f"{part}annot" / f"{stem}.png", np.arange(12 * 16).reshape(12, 16) % 12)
        (root / f"{part}.txt").write_text("".join(f"{stem}\n" for stem in names))
    return root


class Numbered(SegmentationDataset):
    """Frames in memory whose pixels tell the frame's number; without labels where asked."""

    def __init__(self, count: int, *, size: tuple[int, int] = (8, 12), labelled: bool = True, offset: int = 0) -> None:
        info = DataInfo("numbered", NAMES, PALETTE)
        ids = tuple(f"frame{offset + i}" for i in range(count))
        super().__init__(info, ids=ids, groups=ids)
        self.size, self.labelled, self.offset = size, labelled, offset

    def __getitem__(self, index: int) -> Sample:
        image = torch.full((3, *self.size), self.offset + index, dtype=torch.uint8)
        label = torch.full(self.size, index % 3, dtype=torch.uint8) if self.labelled else None
        return Sample(self.ids[index], image, label, labelled=self.labelled)
