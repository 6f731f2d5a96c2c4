"""What sigma costs in a training step: vanilla KD against FOTF by closed form, replay and full passes, interleaved.

    python benchmarks/dropout_cost.py --json results/dropout_cost.json

One thread, random images, student and teacher in train and eval mode as in a run, process CPU time, medians. KD = 100.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

import foglight as fl
from foglight.atomic import write_json
from foglight.config.schema import PixelWeightConfig
from foglight.engine.distiller import Distiller
from foglight.models.load import load_network
from foglight.provenance import provenance

CLASSES = 19
WEIGHTS: dict[str, PixelWeightConfig | None] = {
    "kd": None,
    "entropy (no dropout)": PixelWeightConfig(source="entropy"),
    "closed form, last dropout": PixelWeightConfig(estimator="closed_form", scope="last_dropout"),
    "replay, last dropout, T = 5": PixelWeightConfig(estimator="replay", scope="last_dropout"),
    "replay, T = 5": PixelWeightConfig(estimator="replay"),
    "full, T = 5": PixelWeightConfig(estimator="full"),
}


def training_step(
    student: str, teacher: str, weight: PixelWeightConfig | None, size: tuple[int, int]
) -> Callable[[], None]:
    torch.manual_seed(0)
    losses = [fl.loss(name, pixel_weight=weight) for name in ("cross_entropy", "kd")]
    networks = [load_network(name, num_classes=CLASSES) for name in (student, teacher)]
    distiller = Distiller(*networks, losses)
    optimiser = torch.optim.SGD(distiller.parameters(), lr=1e-3)
    image, label = torch.rand(2, 3, *size), torch.randint(0, CLASSES, (2, *size))

    def step() -> None:
        total, _ = distiller(image, label)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        optimiser.step()

    return step


def main() -> None:
    from foglight.engine.budget import seconds_per_step

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pairs", nargs="+", default=["deeplabv3_r18<deeplabv3_r101", "pspnet_r18<deeplabv3_r101", "lite_s<lite_m"]
    )
    parser.add_argument("--size", type=int, nargs=2, default=(128, 256))
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, dict[str, float]] = {}
    for pair in given.pairs:
        student, teacher = pair.split("<")
        steps = {name: training_step(student, teacher, weight, tuple(given.size)) for name, weight in WEIGHTS.items()}
        seconds = seconds_per_step(steps, device=torch.device("cpu"), timed=given.repetitions)
        results[pair] = {name: 100 * value / seconds["kd"] for name, value in seconds.items()}
        print(pair, f"({seconds['kd']:.3f} CPU s per KD step)")
        for name, relative in results[pair].items():
            print(f"  {name:28} {relative:6.1f}")
    if given.json is not None:
        content = {"size": list(given.size), "repetitions": given.repetitions, "relative_to_kd": results}
        write_json(given.json, {**content, **provenance()})


if __name__ == "__main__":
    main()
