"""Do weights load whole or not at all, and does a bad file get one clear sentence?"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from foglight.errors import CheckpointError, ConfigurationError
from foglight.models.load import load_network
from foglight.models.weights import load_strictly, read_weights


class NotPlain:
    """Anything that a plain weights file does not hold."""


def test_wrappings_are_taken_off_and_named(tmp_path: Path) -> None:
    path = tmp_path / "teacher.pth"
    module = nn.Linear(2, 3)
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in module.state_dict().items()}}, path)
    found = read_weights(path)
    assert found.notes == ("taken from 'state_dict'", "'module.' taken off every key")
    fresh = nn.Linear(2, 3)
    load_strictly(fresh, found.state, source=str(path))
    assert torch.equal(fresh.weight, module.weight)


def test_a_difference_is_listed_and_nothing_is_loaded() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = module[0].weight.clone()
    state = {"0.weight": torch.ones(2, 2), "0.bias": torch.ones(7), "1.weight": torch.ones(2, 2), "head.weight": before}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(module, state, source="old.pth")
    for words in ("old.pth", "1 missing (1.bias)", "1 unexpected (head.weight)", "0.bias (7,) for (2,)"):
        assert words in str(caught.value)
    assert torch.equal(module[0].weight, before)


def test_pickled_objects_are_refused_unless_trusted(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(1)}, "args": NotPlain()}, path)
    with pytest.raises(CheckpointError, match="--trust-checkpoint"):
        read_weights(path)
    assert torch.equal(read_weights(path, trust=True).state["weight"], torch.ones(1))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("trust", [False, True])
def test_damaged_files_are_said_to_be_damaged(tmp_path: Path, suffix: str, trust: bool) -> None:
    path = tmp_path / f"cut{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"weight": torch.ones(1000)}, path)
    content = path.read_bytes()
    for kept in (len(content) // 2, 3, 0):
        path.write_bytes(content[:kept])
        with pytest.raises(CheckpointError, match="cut"):
            read_weights(path, trust=trust)
    with pytest.raises(CheckpointError, match="No such file"):
        read_weights(tmp_path / "absent.pth")
    path.unlink()
    (save_file if suffix == ".safetensors" else torch.save)({}, path)
    with pytest.raises(CheckpointError, match="no tensors"):
        read_weights(path)


def test_a_weights_file_goes_into_a_named_network(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    source = load_network("lite_s", num_classes=4)
    torch.save(source.module.state_dict(), path)
    loaded = load_network("lite_s", num_classes=4, weights=path)
    assert "weights.pth (sha256" in loaded.weights_source
    assert all(torch.equal(one, other) for one, other in zip(source.parameters(), loaded.parameters(), strict=True))
    with pytest.raises(CheckpointError, match="of another shape"):
        load_network("lite_s", num_classes=5, weights=path)
    with pytest.raises(CheckpointError, match="missing"):
        load_network("lite_m", num_classes=4, weights=_other(tmp_path))


def _other(folder: Path) -> Path:
    torch.save(nn.Linear(1, 1).state_dict(), folder / "other.pth")
    return folder / "other.pth"


def test_wrong_names_and_combinations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'lite_s'"):
        load_network("lite_sx", num_classes=4)
    with pytest.raises(ConfigurationError, match="number of classes is not known"):
        load_network("lite_s")
    with pytest.raises(ConfigurationError, match="give one of them"):
        load_network("lite_s", num_classes=4, pretrained=True, weights=tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"student\.json"):
        load_network(str(tmp_path))
