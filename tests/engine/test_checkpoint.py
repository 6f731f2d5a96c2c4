"""Is a checkpoint whole or absent, and is a broken one named?"""

import errno
import os
from pathlib import Path

import pytest
import torch

from foglight.atomic import write_atomically
from foglight.engine.averaging import AveragedWeights
from foglight.engine.checkpoint import load_checkpoint, save_checkpoint, state_hash
from foglight.engine.log import MetricsLog, read_metrics
from foglight.errors import CheckpointError


def test_round_trip(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.ckpt", {"step": 3, "student": {"w": torch.arange(3)}})
    assert load_checkpoint(tmp_path / "last.ckpt")["student"]["w"].tolist() == [0, 1, 2]


def test_a_full_disk_leaves_the_previous_checkpoint_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"step": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("foglight.atomic.os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_checkpoint(path, {"step": 2})
    monkeypatch.undo()
    assert load_checkpoint(path)["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        load_checkpoint(path)


def test_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_atomically(path, lambda file: torch.save({"format": 99}, file))
    with pytest.raises(CheckpointError, match="format 1, got 99"):
        load_checkpoint(path)


def test_the_hash_sees_one_bit() -> None:
    state = {"w": torch.zeros(3), "n": torch.zeros(())}
    changed = {"w": torch.tensor([0.0, 0.0, 1e-45]), "n": torch.zeros(())}
    assert state_hash(state) == state_hash({name: values.clone() for name, values in state.items()})
    assert state_hash(state) != state_hash(changed)


def test_resuming_drops_figures_of_steps_that_will_be_made_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, resume_step=0, tensorboard=False)
    for step in (1, 2, 3):
        log.write(step, {"total": float(step)}, kind="train")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "tot')
    MetricsLog(tmp_path, resume_step=2, tensorboard=False)
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]


def test_the_average_of_a_constant_is_the_constant_and_counts_are_copied() -> None:
    network = torch.nn.BatchNorm1d(2)
    averaged = AveragedWeights(network, 0.9)
    network.num_batches_tracked += 5
    averaged.update(network, 1)
    assert torch.equal(averaged.of(network)["weight"], torch.ones(2))
    assert averaged.of(network)["num_batches_tracked"] == 5
