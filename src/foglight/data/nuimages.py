"""nuImages: street scenes of six cameras, 1600 x 900, with masks written as run lengths in tables.

Layout: v1.0-{train,val,mini}/{sample,sample_data,category,object_ann,surface_ann,log}.json and samples/CAM_*/*.jpg. A
label is painted as the development kit paints it: surfaces first, then objects in the order of their tokens; what no
mask covers (buildings, sky, ...) is not labelled and ignored, or a class of its own. Groups are logs, which are drives.

Splits. `hashed` (the default): 560 frames to train and 240 to report, the first 800 labelled frames of all tables
there are, by a hash of their file names, as LIX divides its 800 (whose list is not published); fewer where there are
fewer, in the same proportion. `log`: whole logs are tune and report. `official`: the published train and val.

Source: nuscenes-devkit (nuimages), names and colours of the categories; Caesar et al., CVPR 2020.
Licence: CC BY-NC-SA 4.0, after registration at nuscenes.org.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, final

import torch

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.depth_files import with_made_depth
from foglight.data.groups import Part, parts_by_group
from foglight.data.images import read_image
from foglight.data.nuimages_tables import Painting, read_tables
from foglight.data.sample import Sample
from foglight.data.splits_by_hash import first_by_hash, hash_order, list_digest
from foglight.data.standard import OFFICIAL, SAME_FRAMES_NOTE, count_notes, half_of, known_split, require_files
from foglight.errors import DataError
from foglight.types import IGNORE_INDEX

NAME: Final = "nuimages"
HASHED: Final = "hashed"
BY_LOG: Final = "log"
TRAIN_FRAMES: Final = 560
REPORT_FRAMES: Final = 240
PUBLISHED: Final = {"v1.0-train": 67279, "v1.0-val": 16445, "v1.0-mini": 50}
VERSIONS: Final = {"train": "v1.0-train", "scored": "v1.0-val"}
CLASSES: Final = {
    "animal": (70, 130, 180),
    "human.pedestrian.adult": (0, 0, 230),
    "human.pedestrian.child": (135, 206, 235),
    "human.pedestrian.construction_worker": (100, 149, 237),
    "human.pedestrian.personal_mobility": (219, 112, 147),
    "human.pedestrian.police_officer": (0, 0, 128),
    "human.pedestrian.stroller": (240, 128, 128),
    "human.pedestrian.wheelchair": (138, 43, 226),
    "movable_object.barrier": (112, 128, 144),
    "movable_object.debris": (210, 105, 30),
    "movable_object.pushable_pullable": (105, 105, 105),
    "movable_object.trafficcone": (47, 79, 79),
    "static_object.bicycle_rack": (188, 143, 143),
    "vehicle.bicycle": (220, 20, 60),
    "vehicle.bus.bendy": (255, 127, 80),
    "vehicle.bus.rigid": (255, 69, 0),
    "vehicle.car": (255, 158, 0),
    "vehicle.construction": (233, 150, 70),
    "vehicle.emergency.ambulance": (255, 83, 0),
    "vehicle.emergency.police": (255, 215, 0),
    "vehicle.motorcycle": (255, 61, 99),
    "vehicle.trailer": (255, 140, 0),
    "vehicle.truck": (255, 99, 71),
    "flat.driveable_surface": (0, 207, 191),
    "vehicle.ego": (200, 200, 200),
}
BACKGROUND: Final = "background"
SHARED_LOGS_NOTE: Final = (
    "split hashed deals out single frames: frames of one log stand in train and in report; split log holds logs out"
)


@final
class NuImages(SegmentationDataset):
    """Frames whose labels are painted from run lengths at every access.

    Args:
        paintings: the frames and their masks.
        info: what the data set is.
        uncovered: the label where no mask is.
    """

    def __init__(self, paintings: Sequence[Painting], *, info: DataInfo, uncovered: int) -> None:
        ids = tuple(painting.id for painting in paintings)
        super().__init__(info, ids=ids, groups=tuple(painting.group for painting in paintings))
        self.paintings = tuple(paintings)
        self.uncovered = uncovered

    def __getitem__(self, index: int) -> Sample:
        painting = self.paintings[index]
        image = read_image(painting.image)
        label = painting.paint(self.info.class_names, uncovered=self.uncovered)
        if label.shape != tuple(image.shape[1:]):
            raise DataError(
                f"{painting.image}: the image is {image.shape[2]}x{image.shape[1]} pixels, its masks are "
                f"{label.shape[1]}x{label.shape[0]}",
                remedy="get the image again: masks fit the published size only; data.size resizes both",
            )
        return Sample(painting.id, image, torch.from_numpy(label))


def nuimages(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    background: Literal["ignore", "class"] = "ignore",
    depth_folder: str | None = None,
) -> SegmentationDataset:
    """One part of nuImages.

    Args:
        root: the folder that holds v1.0-train/ and so on, and samples/.
        part: which part.
        split: `hashed` (the default), `log` or `official`.
        background: whether pixels under no mask are ignored, or a class of their own.
        depth_folder: what `foglight make-depth` wrote for samples/; None for none.

    Raises:
        DataError: if a folder or file is missing, or a table does not fit.
        ConfigurationError: if there is no such split.
        ValueError: if an option is out of its range.
    """
    if background not in ("ignore", "class"):
        raise ValueError(f"expected background ignore or class, got {background}")
    split = known_split(NAME, split, (HASHED, BY_LOG, OFFICIAL))
    found = _versions(root, part, split)
    paintings = [painting for version in found for painting in read_tables(root, version)]
    notes = tuple(
        note
        for version in found
        for note in count_notes(
            f"labelled frames in {version}", sum(one.version == version for one in paintings), PUBLISHED[version]
        )
    )
    kept, more = _cut(paintings, part, split)
    require_files({painting.id: painting.image for painting in kept}, what="image", of=NAME)
    classes = CLASSES if background == "ignore" else {**CLASSES, BACKGROUND: (0, 0, 0)}
    info = DataInfo(NAME, tuple(classes), tuple(classes.values()), notes=notes + more)
    dataset = NuImages(kept, info=info, uncovered=IGNORE_INDEX if background == "ignore" else len(CLASSES))
    if depth_folder is None:
        return dataset
    return with_made_depth(dataset, [painting.image for painting in kept], Path(depth_folder))


def _versions(root: Path, part: Part, split: str) -> list[str]:
    wanted = [VERSIONS[half_of(part, split)]] if split == OFFICIAL else list(PUBLISHED)
    found = [version for version in wanted if (root / version).is_dir()]
    if not found:
        raise DataError(
            f"{root / wanted[0]}: no such folder",
            remedy="set data.root (--root) to the folder that holds v1.0-train/ (or v1.0-mini/) and samples/; "
            f"`foglight fetch-data {NAME}` says how to get the files",
        )
    # The mini set is a part of the others.
    return [version for version in found if version != "v1.0-mini"] or found


def _cut(paintings: list[Painting], part: Part, split: str) -> tuple[list[Painting], tuple[str, ...]]:
    if split == OFFICIAL:
        return paintings, () if part == "train" else (SAME_FRAMES_NOTE,)
    if split == BY_LOG:
        parts = parts_by_group([painting.group for painting in paintings])
        return [painting for painting in paintings if parts[painting.group] == part], ()
    drawn = hash_order([painting.id for painting in paintings])[: TRAIN_FRAMES + REPORT_FRAMES]
    report = set(first_by_hash(drawn, round(len(drawn) * REPORT_FRAMES / (TRAIN_FRAMES + REPORT_FRAMES))))
    names = report if part != "train" else set(drawn) - report
    shared = () if part == "train" else (SAME_FRAMES_NOTE,)
    digest = f"{len(names)} of {len(paintings)} frames, list {list_digest(tuple(names))}"
    return [painting for painting in paintings if painting.id in names], (SHARED_LOGS_NOTE, *shared, digest)
