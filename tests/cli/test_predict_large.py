"""Does `predict` find, name, resume and refuse as it says, and do strips say what whole images say?"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from foglight.cli import run
from foglight.data.image_list import ListedImage, find_images
from foglight.data.images import read_image
from foglight.data.soft_labels import SoftLabels, read_soft_labels, write_soft_labels
from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.engine.strips import enlarged_strips, predicted_strips
from foglight.errors import DataError, UserError
from foglight.functional.resize import resize
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.models.student_file import load_student, save_student
from foglight.prediction.image import predicted, predicted_mask, uncertainty_strips
from foglight.prediction.request import LARGE_WINDOW, PredictionRequest

CLASSES = 5
NAMES = tuple("abcde")


def small_network() -> Network:
    torch.manual_seed(0)
    return load_network("lite_s", num_classes=CLASSES).eval()


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    save_student(small_network(), folder, metadata={"class_names": list(NAMES)})
    return folder


def write(path: Path, *, seed: int = 0, size: tuple[int, int] = (32, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four images, two of which share their name."""
    for number, name in enumerate(("a.png", "day/b.png", "night/b.png", "night/late/c.jpg")):
        write(tmp_path / "drives" / name, seed=number)
    return tmp_path / "drives"


def asked(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert run(["predict", *map(str, words), "--device", "cpu", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("window", [(16, 16), (20, 64), (13, 20), (64, 20)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_strips_are_what_all_windows_together_say(window: tuple[int, int], overlap: float) -> None:
    network = small_network()
    image = torch.randint(0, 256, (3, 50, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = EvaluateSettings(sliding=window, overlap=overlap)
    with torch.no_grad():
        whole = predict(network, image[None].float() / 255, settings=settings).exp()
    strips = list(predicted_strips(network, image, size=(50, 40), settings=settings))
    assert [top for top, _ in strips] == list(np.cumsum([0, *(len(strip[0, 0]) for _, strip in strips[:-1])]))
    torch.testing.assert_close(torch.cat([strip for _, strip in strips], dim=2), whole)


def test_every_pixel_is_the_mean_over_the_windows_that_cover_it() -> None:
    """Windows laid out by hand, against the strips."""
    network = small_network()
    image = torch.randint(0, 256, (3, 24, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    total, count = torch.zeros(1, CLASSES, 24, 16), torch.zeros(24, 16)
    with torch.no_grad():
        for top in (0, 8):
            seen = image[None, :, top : top + 16].float() / 255
            total[:, :, top : top + 16] += predict(network, seen, settings=EvaluateSettings()).exp()
            count[top : top + 16] += 1
    settings = EvaluateSettings(sliding=(16, 16))
    strips = predicted_strips(network, image, size=(24, 16), settings=settings)
    torch.testing.assert_close(torch.cat([strip for _, strip in strips], dim=2), total / count)


@pytest.mark.parametrize("size", [(50, 40), (7, 90), (13, 17), (1, 1)])
@pytest.mark.parametrize("rows", [1, 4, 64])
def test_an_enlargement_in_strips_is_the_enlargement(size: tuple[int, int], rows: int) -> None:
    values = torch.rand(1, 3, 13, 17, generator=torch.Generator().manual_seed(0))
    strips = torch.cat([strip for _, strip in enlarged_strips(values, size, rows=rows)], dim=2)
    torch.testing.assert_close(strips, resize(values, size, align_corners=False))


def test_only_large_images_get_windows_and_only_where_nobody_chose() -> None:
    request = PredictionRequest([(0, 0, 0)])
    large, small = (torch.empty(1, 1, 1).expand(3, 2048, width) for width in (2049, 2048))
    assert request.settings_for(large).sliding == LARGE_WINDOW
    assert request.settings_for(small).sliding is None
    assert PredictionRequest([(0, 0, 0)], largest_whole=None).settings_for(large).sliding is None
    chosen = EvaluateSettings(sliding=(64, 64))
    assert PredictionRequest([(0, 0, 0)], settings=chosen).settings_for(large) == chosen


def test_the_tree_is_kept_and_results_are_not_taken_for_images(
    student: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice, with the results inside of the folder that is searched."""
    for _ in range(2):
        summary = asked(capsys, student, tree, "-o", tree / "masks", "--recursive", "--overlay")
        assert (summary["written"], summary["failed"]) == (4, [])
    masks = {"a.png", "day/b.png", "night/b.png", "night/late/c.png"}
    assert files(tree / "masks") == masks | {name.replace(".png", "_overlay.png") for name in masks}
    expected = predicted_mask(load_student(student), read_image(tree / "night/b.png"), EvaluateSettings())
    with Image.open(tree / "masks/night/b.png") as written:
        assert np.array_equal(np.asarray(written), expected.numpy())


def test_a_list_names_files_and_folders(
    student: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("# the two of them\ndrives/day/b.png\n\ndrives/night/late\ndrives/day/b.png\n")
    assert asked(capsys, student, "@list.txt", "-o", "masks")["written"] == 2
    assert files(tmp_path / "masks") == {"b.png", "c.png"}
    (tmp_path / "list.txt").write_text("drives/day/b.png\ndrives/night/b.png\n")
    asked(capsys, student, "@list.txt", "-o", "kept", "--recursive")
    assert files(tmp_path / "kept") == {"drives/day/b.png", "drives/night/b.png"}
    assert find_images([Path("../a.png")], recursive=True) == [ListedImage(Path("../a.png"), "a")]


def test_work_is_resumed_only_where_it_would_come_out_the_same(
    student: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [student, tree, "-o", tmp_path / "masks", "--recursive", "--resume"]
    assert asked(capsys, *words)["written"] == 4
    (tmp_path / "masks" / "day" / "b.png").unlink()
    Image.new("P", (48, 32)).save(tmp_path / "masks" / "night" / "b.png")  # somebody else's
    before = (tmp_path / "masks" / "a.png").stat().st_mtime_ns
    assert run(["predict", *map(str, words), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "2 of 4 images are left out" in said
    assert "2 masks, 2 were there, 0 files failed" in said
    assert (tmp_path / "masks" / "a.png").stat().st_mtime_ns == before
    assert (asked(capsys, *words)["written"], asked(capsys, *words)["skipped"]) == (0, 4)
    for changed in (["--sliding", "16x16"], ["--overlay"], ["--soft"], ["--soft", "--top", "2"]):
        summary = asked(capsys, *words, *changed)
        assert (summary["written"], summary["skipped"]) == (4, 0), changed
    (tmp_path / "masks" / "a_soft.npz").unlink()
    assert asked(capsys, *words, "--soft", "--top", "2")["written"] == 1


def test_a_mask_that_cannot_be_written_leaves_nothing_behind(
    student: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the middle of a file."""

    def full(self: Image.Image, file: Any, **rest: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    words = ["predict", str(student), str(tree / "a.png"), "-o", str(tmp_path / "masks"), "--device", "cpu"]
    assert run(words) != 0
    assert files(tmp_path / "masks") == set()


def same_stem(tree: Path) -> list[object]:
    write(tree / "a.jpg")
    return [tree]


def same_name(tree: Path) -> list[object]:
    return [tree / "day", tree / "night"]


def name_of_an_overlay(tree: Path) -> list[object]:
    write(tree / "a_overlay.png")
    return [tree]


def missing_list(tree: Path) -> list[object]:
    return [f"@{tree / 'gone.txt'}"]


def no_list(tree: Path) -> list[object]:
    return [f"@{tree / 'a.png'}"]


def no_images_here(tree: Path) -> list[object]:
    (tree / "empty").mkdir()
    return [tree / "empty"]


REFUSED: list[tuple[Callable[[Path], list[object]], str]] = [
    (same_stem, r"a\.jpg and \S+a\.png would both be written to \S+masks/a\.png.*rename"),
    (same_name, r"day/b\.png and \S+night/b\.png would both be written to \S+masks/b\.png.*--recursive"),
    (name_of_an_overlay, r"a\.png and \S+a_overlay\.png would both be written to \S+masks/a_overlay\.png"),
    (missing_list, r"gone\.txt: no such list.*one image or folder per line"),
    (no_list, r"a\.png: cannot be read as a list of paths"),
    (no_images_here, r"empty: no images.*--recursive"),
]


@pytest.mark.parametrize(("spoil", "expected"), REFUSED)
def test_a_refusal_is_one_line_before_anything_is_written(
    spoil: Callable[[Path], list[object]],
    expected: str,
    student: Path,
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = spoil(tree)
    words = ["predict", str(student), *map(str, paths), "-o", str(tmp_path / "masks"), "--overlay", "--device", "cpu"]
    assert run(words) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert re.search(expected, said), said
    assert not (tmp_path / "masks").exists()


def test_an_image_is_never_replaced_by_its_mask(student: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tree / "a.png").read_bytes()
    assert run(["predict", str(student), str(tree), "-o", str(tree), "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "a.png would replace the image" in said
    assert "--output" in said
    assert (tree / "a.png").read_bytes() == before


def test_all_bad_is_exit_code_2_and_each_is_named_once(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    words = ["predict", str(student), str(tmp_path / "bad.png"), str(tmp_path / "gone.png"), "-o", str(tmp_path / "m")]
    assert run([*words, "--device", "cpu"]) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    assert [line.count(".png") for line in lines] == [1, 1]
    assert lines[0].endswith("bad.png: cannot be read as image (it is in no known format)")


def test_more_classes_than_a_byte_holds_are_refused(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_network("lite_s", num_classes=257)
    save_student(network, tmp_path / "student", metadata={})
    assert run(["predict", str(tmp_path / "student"), str(tree), "-o", str(tmp_path / "m"), "--device", "cpu"]) == 2
    assert "at most 256 classes, got 257" in capsys.readouterr().err


@torch.no_grad()
def test_soft_labels_keep_the_most_probable_classes(
    student: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(capsys, student, tree / "a.png", "-o", tmp_path / "masks", "--soft", "--top", "2")
    soft = read_soft_labels(tmp_path / "masks" / "a_soft.npz")
    seen = read_image(tree / "a.png")[None].float() / 255
    expected = predict(load_student(student), seen, settings=EvaluateSettings()).exp()[0]
    most = expected.topk(2, dim=0)
    assert (soft.classes.shape, soft.num_classes) == ((2, 32, 48), CLASSES)
    torch.testing.assert_close(soft.probabilities.float(), most.values, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(expected.gather(0, soft.classes.long()), most.values)
    dense = soft.dense()
    torch.testing.assert_close(dense.sum(0), torch.ones(32, 48))
    torch.testing.assert_close(dense.gather(0, soft.classes.long()), most.values, atol=1e-3, rtol=1e-3)
    with Image.open(tmp_path / "masks" / "a.png") as mask:
        assert np.array_equal(np.asarray(mask), soft.classes[0].numpy())


@torch.no_grad()
def test_all_classes_kept_lose_only_the_rounding(tmp_path: Path) -> None:
    network, image = small_network(), read_image(write(tmp_path / "a.png"))
    _, soft = predicted(network, image, EvaluateSettings(), soft=99)
    assert soft is not None
    write_soft_labels(tmp_path / "soft.npz", soft)
    expected = predict(network, image[None].float() / 255, settings=EvaluateSettings()).exp()[0]
    torch.testing.assert_close(read_soft_labels(tmp_path / "soft.npz").dense(), expected, atol=1e-3, rtol=2e-3)


def test_what_is_no_soft_label_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    np.savez(
        tmp_path / "float.npz", classes=np.zeros((1, 2, 2)), probabilities=np.zeros((1, 2, 2)), num_classes=np.array(3)
    )
    (tmp_path / "text.npz").write_text("hello")
    for name in ("other", "float", "text", "gone"):
        with pytest.raises(DataError, match=rf"{name}\.npz: .*predict --soft"):
            read_soft_labels(tmp_path / f"{name}.npz")


def test_a_certain_pixel_leaves_nothing_for_the_others() -> None:
    one = SoftLabels(torch.ones(1, 1, 1, dtype=torch.uint8), torch.ones(1, 1, 1, dtype=torch.float16), 3)
    assert one.dense().flatten().tolist() == [0.0, 1.0, 0.0]


def test_uncertainty_through_windows_is_that_of_every_window() -> None:
    """Two windows side by side without an overlap, each as if it were an image of its own."""
    torch.manual_seed(0)
    network = load_network("lite_s", num_classes=CLASSES).eval()
    image = torch.randint(0, 256, (3, 32, 96), dtype=torch.uint8)
    whole = EvaluateSettings()
    settings = EvaluateSettings(sliding=(32, 48), overlap=0.0)
    strips = list(uncertainty_strips(network, image, settings, passes=3))
    for number, columns in enumerate((slice(0, 48), slice(48, 96))):
        ((top, alone),) = uncertainty_strips(network, image[:, :, columns], whole, passes=3)
        assert top == 0
        for found, expected in zip(zip(*(strip for _, strip in strips), strict=True), alone, strict=True):
            torch.testing.assert_close(torch.cat(found, dim=2)[..., columns], expected, msg=f"window {number}")
    assert alone.sigma.max() > 0


def test_an_image_that_pillow_refuses_for_its_size_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"a\.png: more pixels than images are read with.*tiles"):
        read_image(write(tmp_path / "a.png"))
