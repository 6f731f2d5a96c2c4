"""Tiny copies of the standard data sets in their public layouts: a few frames of 32 x 64 each."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from data.builders import write_image, write_mask
from foglight.data import vkitti2

SIZE = (32, 64)
CITIES = {"train": {"aachen": 2, "bochum": 2}, "val": {"frankfurt": 2}}


def bands(values: Sequence[int]) -> np.ndarray:
    """The values as upright bands over the frame."""
    return np.array(values)[np.arange(SIZE[1]) * len(values) // SIZE[1]][None].repeat(SIZE[0], 0)


def write_sixteen_bit(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint16)).save(path)


def write_cityscapes(root: Path) -> Path:
    for folder, cities in CITIES.items():
        for city, count in cities.items():
            for number in range(count):
                stem = f"{city}_{number:06d}_000019"
                write_image(root / "leftImg8bit" / folder / city / f"{stem}_leftImg8bit.png", SIZE, seed=number)
                write_mask(
                    root / "gtFine" / folder / city / f"{stem}_gtFine_labelIds.png", bands([7, 8, 26, 33, 0, 3, 29, 30])
                )
                disparity = np.arange(64)[None].repeat(32, 0) * 256
                write_sixteen_bit(root / "disparity" / folder / city / f"{stem}_disparity.png", disparity)
    return root


def write_voc(root: Path) -> Path:
    """VOCdevkit with 3 training and 2 validation frames, and SBD with 3 more of which one is VOC's validation."""
    base = root / "VOCdevkit" / "VOC2012"
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    train, val = [f"2007_00000{i}" for i in range(3)], [f"2007_00001{i}" for i in range(2)]
    extra = ["2008_000000", "2008_000001", val[0]]
    for number, name in enumerate(dict.fromkeys((*train, *val, *extra))):
        write_image(base / "JPEGImages" / f"{name}.jpg", SIZE, seed=number)
    for name in (*train, *val):
        path = base / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(bands([0, 1, 20, 255]).astype(np.uint8))
        picture.putpalette(list(range(256)) * 3)
        assert picture.mode == "P"
        picture.save(path)
    (lists / "train.txt").write_text("\n".join(train) + "\n")
    (lists / "val.txt").write_text("\n".join(val) + "\n")
    sbd = root / "benchmark_RELEASE" / "dataset"
    (sbd / "cls").mkdir(parents=True)
    for name in extra:
        savemat(sbd / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": bands([0, 15]).astype(np.uint8)}})
    (sbd / "train.txt").write_text("\n".join(extra[:2]) + "\n")
    (sbd / "val.txt").write_text(extra[2] + "\n")
    return root


def write_ade20k(root: Path) -> Path:
    for folder, part, count in (("training", "train", 3), ("validation", "val", 2)):
        for number in range(1, count + 1):
            stem = f"ADE_{part}_{number:08d}"
            write_image(root / "images" / folder / f"{stem}.jpg", SIZE, seed=number)
            write_mask(root / "annotations" / folder / f"{stem}.png", bands([0, 1, 2, 150]))
    return root


def write_kitti(root: Path) -> Path:
    """Numbers 3 to 8, of which 4 and 8 are held out."""
    for number in range(3, 9):
        write_image(root / "training" / "image_2" / f"{number:06d}_10.png", SIZE, seed=number)
        write_mask(root / "training" / "semantic" / f"{number:06d}_10.png", bands([7, 26, 0]))
        write_sixteen_bit(root / "training" / "disp_occ_0" / f"{number:06d}_10.png", bands([0, 256, 2560]))
    return root


def write_vkitti2(
    root: Path, *, scenes: Sequence[str] = ("Scene01", "Scene02", "Scene06", "Scene18", "Scene20")
) -> Path:
    colours = [*vkitti2.CLASSES.values(), vkitti2.UNDEFINED]
    for place, scene in enumerate(scenes):
        for variation in ("clone", "fog"):
            frames = root / scene / variation / "frames"
            for number in range(2):
                write_image(frames / "rgb" / "Camera_0" / f"rgb_{number:05d}.jpg", SIZE, seed=place * 2 + number)
                mask = np.array(colours, np.uint8)[bands(range(len(colours)))]
                write_mask(frames / "classSegmentation" / "Camera_0" / f"classgt_{number:05d}.png", mask)
                write_sixteen_bit(frames / "depth" / "Camera_0" / f"depth_{number:05d}.png", bands([0, 150, 65535]))
    return root


def write_nyuv2(root: Path, *, frames: int = 6) -> Path:
    """Three scenes of two frames; the first four frames train. Raw label r is class r of 40, up to 40."""
    draw = np.random.default_rng(0)
    height, width = SIZE
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = draw.integers(0, 256, (frames, 3, width, height), dtype=np.uint8)
        rows = np.arange(1, height + 1, dtype=np.float32)
        file["depths"] = np.broadcast_to(rows, (frames, width, height)).copy()
        file["labels"] = np.broadcast_to(np.arange(width)[:, None] % 41, (frames, width, height)).astype(np.uint16)
        scenes = file.create_dataset("scenes", (1, frames), dtype=h5py.ref_dtype)
        for number in range(frames):
            name = f"scene_{number // 2}"
            file[f"names/{number}"] = np.array([[ord(letter)] for letter in name], np.uint16)
            scenes[0, number] = file[f"names/{number}"].ref
    train = np.arange(1, frames - 1)[:, None]
    savemat(root / "splits.mat", {"trainNdxs": train, "testNdxs": np.array([[frames - 1], [frames]])})
    savemat(root / "classMapping40.mat", {"mapClass": np.minimum(np.arange(1, 895), 40)[None]})
    coarse = np.array([12, 5, 6, 1, 4, *([7] * 35)])[None]
    savemat(root / "class13Mapping.mat", {"classMapping13": {"labels": coarse, "names": np.array(["bed"], object)}})
    return root


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A mask as nuImages writes it; the encoder is written from the format's description, apart from the decoder."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    counts = counts if flat[0] == 0 else [0, *counts]
    text = bytearray()
    for place, count in enumerate(counts):
        value = int(count) - (int(counts[place - 2]) if place > 2 else 0)
        while True:
            group = value & 31
            value >>= 5
            last = value == (-1 if group & 16 else 0)
            text.append(48 + group + (0 if last else 32))
            if last:
                break
    return {"size": list(mask.shape), "counts": base64.b64encode(bytes(text)).decode()}


def write_nuimages(root: Path, *, version: str = "v1.0-mini", logs: int = 4) -> Path:
    """Two frames of each log: the lower half is road (24 in the kit's count), an adult and a car overlap upon it."""
    names = ["animal", "human.pedestrian.adult", "vehicle.car", "flat.driveable_surface", "vehicle.ego"]
    tables: dict[str, list[dict[str, Any]]] = {
        "category": [{"token": f"category-{name}", "name": name} for name in names],
        "log": [{"token": f"log-{log}", "logfile": f"n00{log}"} for log in range(logs)],
        **{name: [] for name in ("sample", "sample_data", "object_ann", "surface_ann")},
    }
    rows, columns = np.indices(SIZE)
    for log in range(logs):
        for number in range(2):
            key = f"{log}-{number}"
            file = f"samples/CAM_FRONT/n00{log}_{number:04d}.jpg"
            write_image(root / file, SIZE, seed=10 * log + number)
            record = {"token": f"data-{key}", "filename": file, "height": SIZE[0], "width": SIZE[1]}
            tables["sample"].append(
                {"token": f"sample-{key}", "log_token": f"log-{log}", "key_camera_token": f"data-{key}"}
            )
            tables["sample_data"] += [record, {**record, "token": f"sweep-{key}", "filename": "sweeps/x.jpg"}]
            masks = {
                "surface": [("flat.driveable_surface", rows >= 16), ("vehicle.ego", rows >= 30)],
                "object": [("vehicle.car", (rows >= 20) & (columns < 20)), ("human.pedestrian.adult", columns < 4)],
            }
            for kind, painted in masks.items():
                for place, (category, mask) in enumerate(painted):
                    annotation = {"token": f"{kind}-{key}-{place}", "category_token": f"category-{category}"}
                    tables[f"{kind}_ann"].append(
                        {**annotation, "sample_data_token": f"data-{key}", "mask": run_lengths(mask)}
                    )
    (root / version).mkdir(parents=True)
    for name, records in tables.items():
        (root / version / f"{name}.json").write_text(json.dumps(records))
    return root
