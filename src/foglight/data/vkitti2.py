"""Virtual KITTI 2: five rendered drives in ten variations of weather and camera angle, with exact labels and depth.

Layout: SceneNN/VARIATION/frames/{rgb,classSegmentation,depth}/Camera_C/{rgb,classgt,depth}_NNNNN.{jpg,png,png};
1242 x 375; the root may also hold the folders vkitti_2.0.3_rgb/ and so on, one per archive, with the scenes in each.
Labels are colours; depth is in centimetres up to 65535, which is the far plane. Groups are scenes.

Splits. `scene` (the default): whole scenes are tune and report, chosen by a hash of their names. `frame`: 500 frames
to train and 200 to report, the first 700 of all frames by a hash of their names, as LIX divides its 700 (whose list is
not published). That split leaks: a frame has its neighbour of a tenth of a second later, and its own copies in other
weather, in the other part; a score on it measures memory too, and every part of that split says so.

Source: Cabon et al., 2020 (version 2.0.3); Gaidon et al., CVPR 2016. Colours: the published table; Undefined is black.
Licence: CC BY-NC-SA 3.0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.depth_files import DepthFormat, with_depth
from foglight.data.folder import Frame, PairDataset
from foglight.data.groups import Part, parts_by_group
from foglight.data.labels import LabelTable, pack
from foglight.data.splits_by_hash import first_by_hash, hash_order, list_digest
from foglight.data.standard import SAME_FRAMES_NOTE, count_notes, known_split, require_files, require_folder

NAME: Final = "vkitti2"
BY_SCENE: Final = "scene"
BY_FRAME: Final = "frame"
CLASSES: Final = {
    "terrain": (210, 0, 200),
    "sky": (90, 200, 255),
    "tree": (0, 199, 0),
    "vegetation": (90, 240, 0),
    "building": (140, 140, 140),
    "road": (100, 60, 100),
    "guard rail": (250, 100, 255),
    "traffic sign": (255, 255, 0),
    "traffic light": (200, 200, 0),
    "pole": (255, 130, 0),
    "misc": (80, 80, 80),
    "truck": (160, 60, 60),
    "car": (255, 127, 80),
    "van": (0, 139, 139),
}
UNDEFINED: Final = (0, 0, 0)
CENTIMETRES: Final = DepthFormat("depth", 0.01)
# Published of version 1 (50 videos), whose five drives in ten variations version 2 renders again for each camera.
PUBLISHED: Final = 21260
TRAIN_FRAMES: Final = 500
REPORT_FRAMES: Final = 200
LEAK_NOTE: Final = (
    "split frame leaks: neighbours of a report frame, and the same frame in other weather, may be training frames; "
    "split scene holds whole scenes out"
)


def vkitti2(
    root: Path,
    *,
    part: Part,
    split: str | None = None,
    variations: Sequence[str] = (),
    camera: Literal[0, 1] = 0,
    undefined: Literal["ignore", "class"] = "ignore",
    extra: Literal["none", "depth"] = "none",
    unknown: Literal["error", "ignore"] = "error",
) -> SegmentationDataset:
    """One part of Virtual KITTI 2.

    Args:
        root: the folder that holds Scene01/ and so on.
        part: which part.
        split: `scene` (the default) or `frame`.
        variations: such as clone, fog and rain; none: all that are there.
        camera: left (0) or right (1).
        undefined: whether black pixels are ignored, or a class of their own (then there are 15, as LIX counts).
        extra: whether depth in metres comes with each frame.
        unknown: what to do with a colour that has no meaning.

    Raises:
        DataError: if a folder or file is missing, or there are too few scenes.
        ConfigurationError: if there is no such split.
        ValueError: if an option is out of its range.
    """
    if camera not in (0, 1) or undefined not in ("ignore", "class") or extra not in ("none", "depth"):
        raise ValueError(
            "expected camera 0 or 1, undefined ignore or class, extra none or depth; "
            f"got {camera}, {undefined}, {extra}"
        )
    split = known_split(NAME, split, (BY_SCENE, BY_FRAME))
    found = _read(root, variations, camera, part)
    frames, notes = _cut(found, part, split)
    if not variations:
        notes += count_notes("frames of one camera", len(found), PUBLISHED)
    classes = CLASSES if undefined == "ignore" else {**CLASSES, "undefined": UNDEFINED}
    table = LabelTable(
        tuple(classes),
        colours={pack(colour): index for index, colour in enumerate(classes.values())},
        ignored_colours=frozenset([pack(UNDEFINED)] if undefined == "ignore" else []),
        unknown=unknown,
    )
    pairs = PairDataset(frames, table=table, info=DataInfo(NAME, tuple(classes), tuple(classes.values()), notes=notes))
    return pairs if extra == "none" else with_depth(pairs, [_depth(root, frame.id) for frame in frames], CENTIMETRES)


def _read(root: Path, variations: Sequence[str], camera: int, part: Part) -> list[Frame]:
    require_folder(root, NAME, "Scene01/, Scene02/ and so on")
    frames: list[Frame] = []
    base = _archive(root, "rgb")
    for images in sorted(base.glob(f"Scene*/*/frames/rgb/Camera_{camera}")):
        scene, variation = images.relative_to(base).parts[:2]
        if variations and variation not in variations:
            continue
        beside = _archive(root, "classSegmentation") / scene / variation / "frames"
        labels = beside / "classSegmentation" / images.name
        for image in sorted(images.glob("rgb_*.jpg")):
            number = image.stem.removeprefix("rgb_")
            name = f"{scene}/{variation}/{images.name}/{number}"
            frames.append(Frame(name, image, labels / f"classgt_{number}.png", scene, part))
    require_files({frame.id: frame.mask for frame in frames}, what="label", of=NAME)
    return frames


def _cut(frames: list[Frame], part: Part, split: str) -> tuple[list[Frame], tuple[str, ...]]:
    if split == BY_SCENE:
        parts = parts_by_group([frame.group for frame in frames])
        listed = ", ".join(f"{name} {where}" for name, where in sorted(parts.items()))
        return [frame for frame in frames if parts[frame.group] == part], (f"scenes: {listed}",)
    names = [frame.id for frame in frames]
    drawn = hash_order(names)[: TRAIN_FRAMES + REPORT_FRAMES]
    report = set(first_by_hash(drawn, round(len(drawn) * REPORT_FRAMES / (TRAIN_FRAMES + REPORT_FRAMES))))
    kept = report if part != "train" else set(drawn) - report
    notes = (LEAK_NOTE, f"{len(kept)} of {len(names)} frames, list {list_digest(tuple(kept))}")
    shared = () if part == "train" else (SAME_FRAMES_NOTE,)
    return [frame for frame in frames if frame.id in kept], (*notes, *shared)


def _depth(root: Path, name: str) -> Path:
    scene, variation, camera, number = name.split("/")
    return _archive(root, "depth") / scene / variation / "frames" / "depth" / camera / f"depth_{number}.png"


def _archive(root: Path, what: str) -> Path:
    """Where an archive was unpacked: in a folder of its own name, or in the root with the others."""
    own = root / f"vkitti_2.0.3_{what}"
    return own if own.is_dir() else root
