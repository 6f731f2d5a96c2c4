"""Is the closed form of sigma right, and what does sigma rank? On networks that are trained here, on fogtown.

    python benchmarks/sigma.py --json FILE [--quick]

A lite teacher is trained on labels, then distilled (vanilla KD) into students with 256, 128 and 32 channels before the
classifier; all that follows is measured on the report part, whose towns nobody has trained on.

Truth: the standard deviation of the softmax over 8000 draws of the dropout, at random positions of the head's grid,
through the trained classifier in float64 sums; 8000 further draws give the noise floor. Error = sum |estimate - truth|
/ sum truth over positions and classes. T = 5 is `replay` with ddof 0 or 1, whichever is nearer. Each network is also
measured with its logits times four (temperature 1/4), because short training leaves none sure of itself.
Bars: error at most 0.05 where the mean confidence is below 0.9, else 0.12 (256 and 128 channels); below that of T = 5,
and at most a third of it from 128 channels on.

Ranking: error AUROC (larger is better) and AURC (smaller is better) of the class mean of sigma at the label's grid, the
entropy, 1 - max p and KL(teacher || student).
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import torch
from dropout_truth import TEMPERATURES, classifier, relative_error, sampled
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from foglight.atomic import write_json
from foglight.config.build import Data, build_data, whole_images
from foglight.config.load import load_packaged
from foglight.config.presets import load_method
from foglight.config.schema import AugmentConfig, BudgetConfig, DataConfig, RunConfig
from foglight.functional.entropy import entropy
from foglight.functional.kl import class_kl
from foglight.functional.resize import resize
from foglight.metrics.segmentation import SegmentationMetrics, SegmentationScores
from foglight.models.network import Network
from foglight.provenance import provenance
from foglight.run import run
from foglight.types import SigmaRequest

CHANNELS: Final = (256, 128, 32)
CONFIDENT: Final = 0.9
# From so many channels on a sum of dropped features is near enough to normal for a promise.
PROMISED_FROM: Final = 128
CLOSED: Final = "closed form"
WAYS: Final = {
    CLOSED: SigmaRequest(estimator="closed_form"),
    "T = 5, ddof 0": SigmaRequest(estimator="replay", passes=5, ddof=0),
    "T = 5, ddof 1": SigmaRequest(estimator="replay", passes=5, ddof=1),
}
OVER: Final = "over the error of T = 5"
SIGMA: Final = "sigma"
ENTROPY: Final = "entropy"
GAP: Final = "KL(teacher || student)"


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    teacher_steps: int = 250
    student_steps: int = 150
    positions: int = 1024
    passes: int = 8000
    data: DataConfig | None = None


QUICK: Final = Sizes(
    teacher_steps=2,
    student_steps=2,
    positions=64,
    passes=200,
    data=DataConfig(
        size=(32, 64), options={"frames": 8, "towns": 2}, batch_size=4, augment=AugmentConfig(crop=(32, 32))
    ),
)


@dataclass(frozen=True)
class Bar:
    """A figure, the largest that is promised, and whether it keeps to it."""

    figure: float
    bar: float
    verdict: Literal["holds", "MISSED"]


@dataclass(frozen=True)
class Spread:
    """The errors of one network's sigma at one temperature.

    Attributes:
        channels: before the classifier.
        temperature: of the softmax.
        confidence: mean largest probability at the positions.
        mean_sigma: of the truth.
        noise_floor: error of the second 8000 draws.
        errors: by way.
        bars: by name.
    """

    channels: int
    temperature: float
    confidence: float
    mean_sigma: float
    noise_floor: float
    errors: Mapping[str, float]
    bars: Mapping[str, Bar]


def recipe(sizes: Sizes, channels: int | None) -> RunConfig:
    """The demo's recipe for fogtown, shorter: of the teacher, or of a student with that many channels."""
    config = load_packaged("fogtown_demo_teacher" if channels is None else "fogtown_demo_student")
    changes: dict[str, object] = {"allow": ("weak-teacher",)} if sizes.data else {}
    if channels is None:
        changes |= {"budget": BudgetConfig(steps=sizes.teacher_steps)}
    else:
        student = config.student.model_copy(update={"options": {"channels": channels}})
        changes |= {"student": student, "budget": BudgetConfig(steps=sizes.student_steps)}
        changes |= {"method": "kd", "losses": load_method("kd").losses(config.data.name, config.student.name)}
    return config.model_copy(update={**changes, "data": sizes.data or config.data})


@torch.no_grad()
def spreads(network: Network, data: Data, config: DataConfig, sizes: Sizes) -> list[Spread]:
    """Closed form, T = 5 and truth at the same random positions, one result per temperature."""
    requests = {(way, t): replace(request, temperature=t) for way, request in WAYS.items() for t in TEMPERATURES}
    batches = list(whole_images(data.report, config))
    generator = torch.Generator().manual_seed(0)
    features, found = list[Tensor](), {key: list[Tensor]() for key in requests}
    for index, batch in enumerate(batches):
        output = network(batch.image, taps=("head_clean",), sigma=requests.values(), seed=index)
        feature = _positions(output.features["head_clean"])
        chosen = torch.randperm(len(feature), generator=generator)[: -(-sizes.positions // len(batches))]
        features.append(feature[chosen])
        for key, request in requests.items():
            found[key].append(_positions(output.sigma[request])[chosen])
    feature = torch.cat(features)
    first, second = (sampled(network, feature, sizes.passes, seed=seed) for seed in (0, 1))
    weight, bias, _ = classifier(network)
    results = list[Spread]()
    for t in TEMPERATURES:
        confidence = (F.linear(feature, weight, bias) / t).softmax(1).amax(1).mean().item()
        errors = {way: relative_error(torch.cat(found[way, t]), first[t]) for way in WAYS}
        floor, bars = relative_error(second[t], first[t]), _bars(feature.shape[1], confidence, errors)
        results.append(Spread(feature.shape[1], t, confidence, first[t].mean().item(), floor, errors, bars))
    return results


def _positions(values: Tensor) -> Tensor:
    """A row per position."""
    return values.flatten(2).transpose(1, 2).flatten(0, 1)


def _bars(channels: int, confidence: float, errors: Mapping[str, float]) -> dict[str, Bar]:
    over = errors[CLOSED] / min(error for way, error in errors.items() if way != CLOSED)
    if channels < PROMISED_FROM:
        return {OVER: _bar(over, 1.0)}
    return {"error": _bar(errors[CLOSED], 0.05 if confidence < CONFIDENT else 0.12), OVER: _bar(over, 1 / 3)}


def _bar(figure: float, bar: float) -> Bar:
    return Bar(figure, bar, "holds" if figure <= bar else "MISSED")


@torch.no_grad()
def ranking(network: Network, teacher: Network, data: Data, config: DataConfig) -> SegmentationScores:
    """All scores on the held-out towns, with what ranks the errors."""
    info = data.report.info
    # Entropy in units of log k, and 1 - exp(-KL), lie in [0, 1] and rank as the plain ones do.
    metrics = SegmentationMetrics(info.num_classes, boundary=False, score_names=(SIGMA, ENTROPY, GAP))
    request = SigmaRequest(estimator="closed_form", grid="label")
    largest = torch.tensor(float(info.num_classes)).log()
    for batch in whole_images(data.report, config):
        assert batch.label is not None
        size = (batch.label.shape[1], batch.label.shape[2])
        output = network(batch.image, sigma=[request], label_size=size)
        logits = resize(output.logits, size, align_corners=network.align_corners)
        theirs = resize(teacher(batch.image).logits, size, align_corners=teacher.align_corners)
        scores = {
            SIGMA: output.sigma[request].mean(1),
            ENTROPY: (entropy(logits.log_softmax(1)) / largest).squeeze(1),
            GAP: -torch.expm1(-class_kl(logits, theirs).sum(1).clamp_min(0)),
        }
        metrics.update(logits, batch.label, scores)
    return metrics.compute()


def mean_confidence(scores: SegmentationScores) -> float:
    """Over all pixels, from the bins of the reliability diagram."""
    return sum(one.pixels * (one.confidence or 0.0) for one in scores.reliability) / scores.pixels


def table(spreads: list[Spread], sizes: Sizes) -> Table:
    """For a reader."""
    claim = " (quick: nothing is claimed)" if sizes == QUICK else ""
    shown = Table(title=f"relative L1 error of sigma against {sizes.passes} draws{claim}")
    for heading in ("channels", "logits", "mean confidence", "noise floor", *WAYS, "bars"):
        shown.add_column(heading, justify="left" if heading == "bars" else "right")
    for one in spreads:
        bars = "; ".join(f"{name} {bar.figure:.3f} <= {bar.bar:.3f} {bar.verdict}" for name, bar in one.bars.items())
        figures = [f"{figure:.3f}" for figure in (one.confidence, one.noise_floor, *one.errors.values())]
        shown.add_row(str(one.channels), f"x{1 / one.temperature:g}", *figures, bars)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small everything, to see that it runs; no claim")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    console, sizes = Console(width=180), QUICK if given.quick else Sizes()
    found, networks = list[Spread](), list[dict[str, object]]()
    with TemporaryDirectory() as folder:
        config = recipe(sizes, None)
        data = build_data(config.data, seed=config.seed)
        teacher = run(config, Path(folder, "teacher"), data=data)
        console.print(f"teacher: pixel accuracy {teacher.scores['pixel_accuracy']:.3f}, {teacher.seconds:.0f} s")
        for channels in CHANNELS:
            config = recipe(sizes, channels)
            done = run(config, Path(folder, str(channels)), data=data, teacher=teacher.student)
            scores = ranking(done.student, teacher.student, data, config.data)
            networks.append(
                {
                    "channels": channels,
                    "pixel_accuracy": scores.pixel_accuracy,
                    "mean_confidence": mean_confidence(scores),
                    "error_auroc": scores.error_auroc,
                    "aurc": scores.aurc,
                }
            )
            console.print(networks[-1])
            found += spreads(done.student, data, config.data, sizes)
            if given.json:
                size = {name: value for name, value in asdict(sizes).items() if name != "data"}
                report = {"networks": networks, "spreads": [asdict(one) for one in found]}
                write_json(given.json, {"provenance": provenance(), "quick": given.quick, **size, **report})
    console.print(table(found, sizes))


if __name__ == "__main__":
    main()
