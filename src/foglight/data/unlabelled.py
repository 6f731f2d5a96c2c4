"""A folder of images without masks: only the teacher's terms learn from them."""

from pathlib import Path
from typing import final

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.groups import guess_groups
from foglight.data.images import read_image
from foglight.data.layout import list_images
from foglight.data.sample import Sample
from foglight.errors import DataError


@final
class UnlabelledFolder(SegmentationDataset):
    """Every image under a folder, in sorted order.

    Args:
        root: the folder.

    Raises:
        DataError: if there is no such folder or no image in it.
    """

    def __init__(self, root: Path) -> None:
        files = list_images(root)
        if not files:
            raise DataError(f"{root}: no images found", remedy="point data.unlabeled to a folder of PNG or JPEG images")
        ids = tuple(files)
        super().__init__(DataInfo(f"unlabelled {root.name}", (), ()), ids=ids, groups=guess_groups(ids))
        self.files = tuple(files.values())

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], read_image(self.files[index]), None, labelled=False)
