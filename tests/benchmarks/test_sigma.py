"""Is the truth that sigma is measured against true, and does the command judge every network?"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from foglight.models.load import load_network

FOLDER = Path(__file__).parents[2] / "benchmarks"
BENCHMARK = "sigma"


def test_sampling_finds_the_spread_of_a_single_channel(benchmark: ModuleType) -> None:
    """A single channel is dropped or 10/9 as large: two values of the softmax, and std = gap sqrt(p (1 - p))."""
    network = load_network("lite_s", num_classes=2, options={"channels": 1, "dropout": 0.1})
    weight, bias, rate = benchmark.classifier(network)
    with torch.no_grad():
        weight.copy_(torch.tensor([[1.0], [0.0]]))
        bias.zero_()
        found = benchmark.sampled(network, torch.tensor([[2.0], [0.0]]), 20_000, seed=0)
    for temperature in benchmark.TEMPERATURES:
        gap = torch.tensor(2 / 0.9 / temperature).sigmoid() - 0.5
        expected = gap.item() * (rate * (1 - rate)) ** 0.5
        assert found[temperature][0].tolist() == pytest.approx([expected] * 2, rel=0.03)
        assert found[temperature][1].tolist() == [0.0, 0.0]  # nothing to drop


def _errors(closed: float, population: float, sample: float) -> dict[str, float]:
    return {"closed form": closed, "T = 5, ddof 0": population, "T = 5, ddof 1": sample}


def test_an_estimate_is_held_against_both_bars(benchmark: ModuleType) -> None:
    bars = benchmark._bars(128, 0.95, _errors(0.11, 0.40, 0.30))
    assert [(bar.bar, bar.verdict) for bar in bars.values()] == [(0.12, "holds"), (1 / 3, "MISSED")]
    assert benchmark._bars(256, 0.5, _errors(0.11, 0.4, 0.5))["error"].verdict == "MISSED"
    assert list(benchmark._bars(32, 0.5, _errors(0.3, 0.4, 0.5))) == ["over the error of T = 5"]


@pytest.mark.slow
def test_the_command_judges_every_network(tmp_path: Path) -> None:
    file = tmp_path / "sigma.json"
    command = [sys.executable, str(FOLDER / "sigma.py"), "--quick", "--json", str(file)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    report = json.loads(file.read_text())
    assert report["quick"]
    assert [network["channels"] for network in report["networks"]] == [256, 128, 32]
    for network in report["networks"]:
        assert {0 <= network[name] <= 1 for name in ("pixel_accuracy", "mean_confidence")} == {True}
        assert set(network["error_auroc"]) == {"1 - max p", "sigma", "entropy", "KL(teacher || student)"}
    assert [(one["channels"], len(one["bars"])) for one in report["spreads"]] == [
        *((channels, 2) for channels in (256, 256, 128, 128)),
        *((32, 1), (32, 1)),
    ]
    for one in report["spreads"]:
        # Two hundred draws of an untrained network are enough to see that the closed form is its spread at all.
        assert min(one["errors"], key=one["errors"].get) == "closed form"
