"""Does the audit find everything that was planted in tiny data sets, all at once, and nothing in a clean one?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.builders import NAMES, PALETTE, Numbered, write_folder, write_image, write_mask
from foglight.data.audit.duplicates import near_duplicates
from foglight.data.audit.findings import Audit, SharedGroup
from foglight.data.check import audit, audit_folder
from foglight.data.contact_sheet import colour_label, write_contact_sheet
from foglight.data.dataset import DataInfo, SegmentationDataset
from foglight.data.folder import own_folder
from foglight.data.sample import Sample


class Frames(SegmentationDataset):
    """Frames in memory by id, grouped by the letters of the id."""

    def __init__(self, frames: dict[str, tuple[torch.Tensor, torch.Tensor | None]]) -> None:
        groups = tuple(name.rstrip("0123456789") for name in frames)
        super().__init__(DataInfo("frames", NAMES, PALETTE), ids=tuple(frames), groups=groups)
        self.frames = frames

    def __getitem__(self, index: int) -> Sample:
        image, label = self.frames[self.ids[index]]
        return Sample(self.ids[index], image, label, labelled=label is not None)


def noise(seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def blocks(seed: int) -> torch.Tensor:
    coarse = torch.randint(0, 2, (4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return coarse.repeat_interleave(6, 0).repeat_interleave(8, 1)


def text(found: Audit) -> str:
    return "\n".join(found.lines())


def test_a_clean_folder_has_no_problem(tmp_path: Path) -> None:
    found = audit_folder(write_folder(tmp_path))
    assert found.problems == ()
    assert found.suggestion is None
    assert [(part.name, part.frames, part.groups) for part in found.parts] == [
        ("train", 4, 2), ("tune", 2, 1), ("report", 2, 1),
    ]  # fmt: skip
    assert found.parts[0].sizes == {"12x16": 4}
    assert [(raw.value, raw.meaning) for raw in found.raw_values] == list(zip("012", NAMES, strict=True))
    assert sum(raw.share for raw in found.raw_values) == pytest.approx(1)
    assert found.memory_bytes == 8 * 12 * 16 * 4
    assert "no problems found" in found.lines()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_every_planted_problem_is_listed_at_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path, groups=6)
    images, masks = root / "images", root / "masks"
    (images / "drive0_000.png").write_bytes((images / "drive0_000.png").read_bytes()[:100])
    (masks / "drive0_001.png").write_bytes(b"no image")
    write_mask(masks / "drive1_000.png", np.full((12, 16), 7))
    write_mask(masks / "drive1_001.png", size=(6, 8))
    # One frame, both files bad: neither hides the other.
    (images / "drive2_000.png").write_bytes(b"")
    write_mask(masks / "drive2_000.png", np.full((12, 16), 9))
    write_image(images / "lonely.png")
    write_mask(masks / "orphan.png")
    found = audit_folder(root)
    listed = {
        (problem.kind, Path(problem.text.split(":")[0]).relative_to(root).as_posix()) for problem in found.problems
    }
    assert listed == {
        ("unreadable", "images/drive0_000.png"),
        ("unreadable", "masks/drive0_001.png"),
        ("value", "masks/drive1_000.png"),
        ("size", "masks/drive1_001.png"),
        ("unreadable", "images/drive2_000.png"),
        ("value", "masks/drive2_000.png"),
        ("unmatched", "images/lonely.png"),
        ("unmatched", "masks/orphan.png"),
    }
    assert sum(part.frames for part in found.parts) == 12 - 5
    assert {raw.value for raw in found.raw_values if raw.meaning == "unknown"} == {"7", "9"}
    assert found.suggestion is not None
    assert "8 problem(s):" in found.lines()


def test_many_problems_of_a_kind_are_shown_by_their_first(tmp_path: Path) -> None:
    root = write_folder(tmp_path, groups=5)
    for mask in (root / "masks").iterdir():
        write_mask(mask, np.full((12, 16), 7))
    found = audit_folder(root)
    assert len(found.problems) == 10
    assert text(found).count("unknown mask value 7") == 5
    assert "... and 5 more of this kind (value)" in text(found)


@pytest.mark.parametrize(("missing", "kind"), [("images", "folder"), ("masks", "folder"), ("classes.yaml", "classes")])
def test_what_is_missing_from_the_folder_is_a_problem(tmp_path: Path, missing: str, kind: str) -> None:
    root = write_folder(tmp_path)
    (root / missing).rename(root / "elsewhere")
    assert [problem.kind for problem in audit_folder(root).problems] == [kind]


def test_without_class_names_the_raw_values_are_the_classes(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    (root / "classes.yaml").unlink()
    for mask in (root / "masks").iterdir():
        write_mask(mask, np.where(np.arange(12 * 16).reshape(12, 16) < 150, 0, 255))
    found = audit_folder(root)
    assert found.parts[0].class_pixels == {"0": 4 * 150, "255": 4 * 42}
    assert found.suggestion is not None
    assert "map: {0: background, 255: foreground}" in found.suggestion


def test_too_few_groups_leave_one_part_to_look_at(tmp_path: Path) -> None:
    found = audit_folder(write_folder(tmp_path, groups=1))
    assert [problem.kind for problem in found.problems] == ["split"]
    assert [(part.name, part.frames) for part in found.parts] == [("all", 2)]


def test_a_split_that_leaves_a_part_out_is_a_problem(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    (root / "split.csv").write_text("image,part\ndrive0_000,train\ndrive1_000,tune\n")
    found = audit_folder(root, split="split.csv")
    assert [problem.text for problem in found.problems] == [f"{root}: no frame belongs to the part 'report'"]


def test_labels_that_are_all_ignored_are_a_problem(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    for mask in (root / "masks").iterdir():
        write_mask(mask, np.full((12, 16), 255))
    found = audit_folder(root)
    assert {problem.text for problem in found.problems} == {
        f"all labels of the part {part!r} are ignored ({count} masks)"
        for part, count in (("train", 4), ("tune", 2), ("report", 2))
    }
    assert found.parts[0].absent == NAMES


def test_foreground_of_255_is_suggested_where_it_is_taken_for_ignored(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    (root / "classes.yaml").write_text("names: [skin, lesion]\n")
    for mask in (root / "masks").iterdir():
        write_mask(mask, np.where(np.arange(12 * 16).reshape(12, 16) < 150, 0, 255))
    found = audit_folder(root)
    assert found.problems == ()
    assert "absent from train: lesion" in text(found)
    assert found.suggestion is not None
    assert "map: {0: skin, 255: lesion}" in found.suggestion


def test_an_absent_class_alone_suggests_no_other_mapping(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    for mask in (root / "masks").iterdir():
        write_mask(mask, np.full((12, 16), 2))
    found = audit_folder(root)
    assert found.parts[0].absent == ("road", "grass")
    assert found.suggestion is None


def test_grey_masks_saved_in_colour_are_read_as_indices(tmp_path: Path) -> None:
    root = write_folder(tmp_path)
    (root / "classes.yaml").write_text("names: [road, grass, sky]\n")
    for path in (root / "masks").iterdir():
        Image.open(path).convert("RGB").save(path)
    found = audit_folder(root)
    assert found.problems == ()
    assert [raw.value for raw in found.raw_values] == ["0", "1", "2"]


def test_a_planted_near_duplicate_is_found_across_parts_only() -> None:
    brighter = (noise(0).float() * 0.9 + 20).to(torch.uint8)
    found = audit(
        {
            "train": Frames({"a1": (noise(0), blocks(0)), "a2": (noise(0), blocks(0)), "b1": (noise(1), blocks(1))}),
            "tune": Frames({"c1": (noise(2), blocks(2)), "c2": (brighter, blocks(0))}),
        }
    )
    assert [(twin.part, twin.frame, twin.other_part, twin.other_frame) for twin in found.duplicates] == [
        ("tune", "c2", "train", "a1")
    ]
    assert "near-duplicates: 1 frame(s) of tune look like one of train, such as c2 and a1" in text(found)


def test_flat_frames_are_not_near_duplicates() -> None:
    assert audit({"train": Numbered(3), "tune": Numbered(3, offset=10)}).duplicates == ()
    flat, faint = np.array([0], np.uint64), np.array([0b11], np.uint64)
    assert near_duplicates(flat, faint) == near_duplicates(faint, flat) == []


def test_a_group_in_two_parts_is_told_with_the_distance_of_its_frames() -> None:
    train = Frames({"a010": (noise(0), blocks(0)), "a020": (noise(1), blocks(0)), "b1": (noise(2), blocks(0))})
    tune = Frames({"a023": (noise(3), blocks(0)), "c1": (noise(4), blocks(0))})
    found = audit({"train": train, "tune": tune})
    assert found.shared_groups == (SharedGroup("a", ("train", "tune"), 3),)
    assert [part.groups for part in found.parts] == [2, 2]


def test_copying_the_most_similar_training_label_measures_leakage() -> None:
    train = Frames({f"a{seed}": (noise(seed), blocks(seed)) for seed in range(4)})
    leaking = Frames({f"b{seed}": (noise(seed), blocks(seed)) for seed in (2, 3)})
    right, wrong = torch.zeros(24, 32, dtype=torch.uint8), torch.ones(24, 32, dtype=torch.uint8)
    half = Frames({"c1": (noise(0), torch.cat([right[:12], wrong[12:]]))})
    plain = Frames({"a1": (noise(0), right)})
    assert audit({"train": train, "tune": leaking}).parts[1].copied_label_miou == 1
    # Class 0 is right on half of what is predicted, class 1 is never predicted.
    assert audit({"train": plain, "tune": half}).parts[1].copied_label_miou == 0.25
    assert audit({"train": plain, "tune": half}).parts[0].copied_label_miou is None


def test_unlabelled_frames_are_counted_and_leak_nothing() -> None:
    found = audit({"train": Numbered(3), "tune": Numbered(2, labelled=False)})
    assert (found.parts[1].unlabelled, found.parts[1].copied_label_miou) == (2, None)
    assert found.problems == ()


def test_the_contact_sheet_shows_frames_above_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    parts = {"train": Numbered(9, size=(8, 12), offset=100), "tune": Numbered(1, labelled=False)}
    write_contact_sheet(path, parts, per_part=3, height=8)
    sheet = np.asarray(Image.open(path))
    # Frames 0, 3 and 6 of 9 are shown; their label is class 0 all over.
    assert sheet[14 + 4, [6, 6 + 16, 6 + 32], 0].tolist() == [100, 103, 106]
    assert tuple(sheet[14 + 8 + 4 + 4, 6]) == PALETTE[0]


def test_a_frame_that_cannot_be_read_is_left_out_of_the_sheet(tmp_path: Path) -> None:
    train = own_folder(write_folder(tmp_path), part="train")
    train.frames[0].image.write_bytes(b"")
    write_contact_sheet(tmp_path / "sheet.png", {"train": train}, height=24)
    with Image.open(tmp_path / "sheet.png") as sheet:
        # One of four frames is gone: three cells of 32 pixels and their gaps.
        assert sheet.size == (3 * (32 + 4), 14 + 2 * 24 + 8)


def test_ignored_pixels_are_black() -> None:
    assert colour_label(torch.tensor([[1, 255]], dtype=torch.uint8), PALETTE).tolist() == [[[0, 160, 0], [0, 0, 0]]]
