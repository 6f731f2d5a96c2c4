"""Are depth maps made once, whole, with their meaning written beside them, and read back as they were made?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessor,
)

from data.builders import write_folder, write_image
from data.layouts import write_kitti, write_nuimages
from foglight.cli import run
from foglight.data.depth_maps import DepthNetwork, load_depth_network, write_depth_maps
from foglight.data.layout import list_images
from foglight.data.registry import build_dataset
from foglight.errors import DataError


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny random networks in the format of the transformers library, one of either kind."""
    folders: dict[str, Path] = {}
    for kind in ("relative", "metric"):
        torch.manual_seed(0)
        backbone = Dinov2Config(
            hidden_size=8, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=1, image_size=28, patch_size=14,
            out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
        )  # fmt: skip
        config = DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=8, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
            head_hidden_size=4, depth_estimation_type=kind, max_depth=20 if kind == "metric" else 1,
        )  # fmt: skip
        folders[kind] = tmp_path_factory.mktemp(kind)
        DepthAnythingForDepthEstimation(config).save_pretrained(folders[kind])
        DPTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(folders[kind])
    return folders


def make(images: Path, folder: Path, network: Path) -> int:
    return run(["make-depth", str(images), "-o", str(folder), "--network", str(network), "--device", "cpu"])


def test_metric_maps_are_read_back_in_metres(networks: dict[str, Path], tmp_path: Path) -> None:
    root = write_kitti(tmp_path / "kitti")
    assert make(root / "training" / "image_2", tmp_path / "depth", networks["metric"]) == 0
    options = {"depth_folder": str(tmp_path / "depth")}
    dataset = build_dataset("kitti", part="train", root=str(root), cache="none", options=options)
    sample = dataset[0]
    assert sample.extra is not None
    assert sample.extra_kinds == ("depth",)
    predicted = load_depth_network(str(networks["metric"]), device="cpu").predict(sample.image)
    torch.testing.assert_close(sample.extra[0], predicted.clamp(0.001, 65.535), atol=0.0006, rtol=0)


def test_relative_maps_are_stretched_and_called_neither_metres_nor_inverse(
    networks: dict[str, Path], tmp_path: Path
) -> None:
    root = write_nuimages(tmp_path / "nuimages")
    assert make(root / "samples", tmp_path / "depth", networks["relative"]) == 0
    options = {"depth_folder": str(tmp_path / "depth")}
    dataset = build_dataset("nuimages", part="train", root=str(root), cache="none", options=options)
    sample = dataset[0]
    assert sample.extra is not None
    assert dataset.info.extra_kinds == sample.extra_kinds == ("other",)
    assert float(sample.extra.max()) == pytest.approx(1)
    assert float(sample.extra.min()) >= 1 / 65535 - 1e-9


def test_a_second_run_makes_only_what_is_missing(
    networks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, folder = tmp_path / "images", tmp_path / "depth"
    for number in range(3):
        write_image(images / "town" / f"{number}.jpg", (20, 30), seed=number)
    assert make(images, folder, networks["relative"]) == 0
    kept = (folder / "town" / "0.png").read_bytes()
    (folder / "town" / "1.png").unlink()
    capsys.readouterr()
    assert make(images, folder, networks["relative"]) == 0
    assert "1 maps written, 2 kept, 0 files failed" in capsys.readouterr().out
    assert (folder / "town" / "0.png").read_bytes() == kept
    with Image.open(folder / "town" / "1.png") as picture:
        assert picture.size == (30, 20)
        assert np.asarray(picture).dtype == np.uint16


def test_a_bad_image_is_listed_and_stops_nothing(
    networks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.png").write_bytes(b"no image")
    assert make(tmp_path / "images", tmp_path / "depth", networks["relative"]) == 0
    said = capsys.readouterr().out
    assert "b.png: cannot be read as image" in said.replace(str(tmp_path), "")
    assert sorted(path.name for path in (tmp_path / "depth").iterdir()) == ["a.png", "depth.json"]


def test_maps_of_two_networks_are_not_mixed(
    networks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "images" / "a.png")
    assert make(tmp_path / "images", tmp_path / "depth", networks["relative"]) == 0
    assert make(tmp_path / "images", tmp_path / "depth", networks["metric"]) == 2
    assert "depth.json: the folder holds maps of" in capsys.readouterr().err
    assert json.loads((tmp_path / "depth" / "depth.json").read_text())["kind"] == "other"


def test_a_folder_without_a_network_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "network").mkdir()
    assert make(tmp_path / "images", tmp_path / "depth", tmp_path / "network") == 2
    said = capsys.readouterr().err
    assert "no depth network can be loaded" in said
    assert not (tmp_path / "depth").exists()


def test_a_network_that_is_not_finite_writes_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.png")
    broken = DepthNetwork("broken", None, lambda image: torch.full(image.shape[1:], torch.nan))
    summary = write_depth_maps(list_images(tmp_path / "images"), tmp_path / "depth", broken, on_done=lambda done: None)
    assert summary.failed[0][1] == "the network's depth is not finite"
    assert not (tmp_path / "depth" / "a.png").exists()


def test_an_own_folder_takes_the_maps_too(networks: dict[str, Path], tmp_path: Path) -> None:
    root = write_folder(tmp_path / "own")
    assert make(root / "images", root / "depth", networks["metric"]) == 0
    dataset = build_dataset("folder", part="train", root=str(root), cache="none", options={"extra": "depth"})
    assert dataset.info.extra_kinds == ("depth",)
    (root / "depth" / f"{dataset.ids[0]}.png").unlink()
    with pytest.raises(DataError, match="no depth map of"):
        build_dataset("folder", part="train", root=str(root), options={"extra": "depth"})
