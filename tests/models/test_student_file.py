"""Does a student come back bit for bit from its two files alone, and are wrong files refused in words?"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from foglight.errors import CheckpointError, ConfigurationError, UserError
from foglight.models.adapters.own_module import as_network
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.models.student_file import load_student, read_metadata, save_student

METADATA = {"class_names": ["road", "sky", "car"], "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}


@pytest.fixture
def student() -> Network:
    torch.manual_seed(0)
    return load_network("lite_s", num_classes=3, options={"dropout": 0.25}, align_corners=False)


@pytest.mark.parametrize("name", ["", "student.safetensors", "student.json"])
def test_round_trip_is_bitwise(tmp_path: Path, student: Network, name: str) -> None:
    save_student(student, tmp_path, metadata=METADATA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student.json", "student.safetensors"]
    loaded = load_student(tmp_path / name)
    image = torch.rand(1, 3, 40, 56)
    assert torch.equal(loaded(image).logits, student.eval()(image).logits)
    assert not loaded.training
    assert (loaded.num_classes, loaded.align_corners, loaded.builder) == (3, False, student.builder)
    assert loaded.normalisation == student.normalisation
    assert loaded.active_dropouts()[0].rate == 0.25
    described = read_metadata(tmp_path / name)
    assert described["class_names"] == METADATA["class_names"]
    assert described["calibration"] is None
    assert described["weights"] == "from scratch"


def test_it_loads_by_name_and_checks_the_classes(tmp_path: Path, student: Network) -> None:
    save_student(student, tmp_path / "mine.safetensors", metadata=METADATA)
    path = str(tmp_path / "mine.safetensors")
    assert load_network(path, num_classes=3).name == "lite_s"
    with pytest.raises(ConfigurationError, match="expected 7 classes, got 3"):
        load_network(path, num_classes=7)
    with pytest.raises(ConfigurationError, match="brings its own options"):
        load_network(path, options={"dropout": 0.5})


def test_a_student_given_as_an_object_is_loaded_with_it(tmp_path: Path) -> None:
    network = as_network(nn.Conv2d(3, 4, 1).to(memory_format=torch.channels_last))
    save_student(network, tmp_path, metadata={})
    with pytest.raises(CheckpointError, match="module="):
        load_student(tmp_path)
    loaded = load_student(tmp_path, module=nn.Conv2d(3, 4, 1))
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded(image).logits, network(image).logits)
    with pytest.raises(CheckpointError, match="of another shape"):
        load_student(tmp_path, module=nn.Conv2d(3, 5, 1))


def test_an_own_builder_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from torch import nn\ndef build(num_classes, width): return nn.Conv2d(3, num_classes, width)\n"
    (tmp_path / "student_nets.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    network = load_network("module:student_nets:build", num_classes=4, options={"width": 3})
    save_student(network, tmp_path / "run", metadata={})
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(load_student(tmp_path / "run")(image).logits, network(image).logits)
    weights = tmp_path / "own.pth"
    torch.save(network.module.inner.state_dict(), weights)
    again = load_network("module:student_nets:build", num_classes=4, options={"width": 3}, weights=weights)
    assert torch.equal(again(image).logits, network(image).logits)
    with pytest.raises(UserError, match="width"):
        load_network("module:student_nets:build", num_classes=4)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, student: Network) -> None:
    save_student(student, tmp_path, metadata=METADATA)
    described = tmp_path / "student.json"
    content = json.loads(described.read_text())
    for change, words in (
        ({"sha256": "0"}, "another sha256"),
        ({"format": 99}, "format 1"),
        ({"num_classes": 4}, "of another shape"),
    ):
        described.write_text(json.dumps({**content, **change}))
        with pytest.raises(CheckpointError, match=words):
            load_student(tmp_path)
    described.write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        load_student(tmp_path)
    described.unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        load_student(tmp_path)


def test_a_full_disk_leaves_the_old_student_whole(
    tmp_path: Path, student: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_student(student, tmp_path, metadata=METADATA)
    monkeypatch.setattr("os.fsync", _no_space)
    with pytest.raises(OSError, match="No space"):
        save_student(load_network("lite_s", num_classes=3), tmp_path, metadata=METADATA)
    monkeypatch.undo()
    loaded = load_student(tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(loaded.parameters(), student.parameters(), strict=True))


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")
