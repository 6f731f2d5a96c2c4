"""What a data set is made of: caches, resizing and subsets are laid over the frames themselves."""

from collections.abc import Iterator
from pathlib import Path

from foglight.data.cached import CachedDataset, ResizedDataset
from foglight.data.dataset import SegmentationDataset
from foglight.data.folder import PairDataset
from foglight.data.label_share import FrameSubset
from foglight.data.pseudo_labels import PseudoLabelled
from foglight.data.unlabelled import UnlabelledFolder


def layers(dataset: SegmentationDataset) -> Iterator[SegmentationDataset]:
    """The data set and, from the outside in, those that it reads from."""
    yield dataset
    while isinstance(dataset, CachedDataset | ResizedDataset | FrameSubset | PseudoLabelled):
        dataset = dataset.dataset
        yield dataset


def cache_of(dataset: SegmentationDataset) -> CachedDataset | None:
    """The cache that its frames come from; None where every access reads the disk."""
    return next((layer for layer in layers(dataset) if isinstance(layer, CachedDataset)), None)


def image_files(dataset: SegmentationDataset) -> tuple[Path, ...]:
    """The image files of an own folder; none for data sets of known files."""
    *_, frames = layers(dataset)
    match frames:
        case PairDataset():
            return tuple(frame.image for frame in frames.frames)
        case UnlabelledFolder():
            return frames.files
        case _:
            return ()
