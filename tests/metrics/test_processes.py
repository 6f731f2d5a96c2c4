"""Do two processes that saw half of the images each compute the scores of one that saw them all?"""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from foglight.metrics.segmentation import SegmentationMetrics


def draw() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 8, 9, generator=generator), torch.randint(0, 4, (3, 8, 9), generator=generator)


def score(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    logits, label = draw()
    metric = SegmentationMetrics(4)
    metric.update(logits[rank::2], label[rank::2])
    Path(folder, f"{rank}.json").write_text(json.dumps(metric.compute().to_dict()))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    spawn(score, args=(str(tmp_path),), nprocs=2)
    logits, label = draw()
    metric = SegmentationMetrics(4)
    metric.update(logits, label)
    expected = metric.compute().to_dict()
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["images"] == 3
        assert found["miou"] == expected["miou"]
        assert found["nll"] == pytest.approx(expected["nll"], rel=1e-12)
        assert found["ece_equal_mass"] == pytest.approx(expected["ece_equal_mass"], rel=1e-9)
        assert found["error_auroc"] == expected["error_auroc"]
