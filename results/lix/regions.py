"""Scores of a finished study by region: near and far, in clear air and in fog.

    python results/lix/regions.py STUDY.yaml FOLDER [--output DIR] [--json]

FOLDER is the study's (`runs/lix-main_mfnet`). Every kept network is scored raw on the report part, in the regions of
`foglight/metrics/by_region.py`; fogtown alone knows the fog of its frames. Means and sample standard deviations over
seeds, and for the study's own comparisons the paired differences with 95 % intervals. A region's mIoU counts a class
that a network predicts there and no label has as 0, so pixel accuracy stands beside it. Writes `regions.json` and
`regions.md` into DIR, which is FOLDER if it is not given. Cost: one forward per frame and run.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from finished import by_arm, finished_jobs, kept_network

from foglight.atomic import write_atomically, write_json
from foglight.config.build import whole_images
from foglight.config.schema import DataConfig
from foglight.data.registry import option_names
from foglight.data.synthetic import Fogtown, fogtown
from foglight.data.town.render import render
from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.errors import EXIT_CODE, ConfigurationError, UserError
from foglight.metrics.by_region import RegionMetrics, crossed, depth_regions, fog_regions, metres
from foglight.models.network import Network
from foglight.provenance import provenance
from foglight.study.jobs import Job
from foglight.study.load import Planned
from foglight.study.schema import REPORT
from foglight.study.statistics import EQUIVALENCE, paired_difference, spread, verdict
from foglight.types import Batch

REGIONS: Final = ("near", "far", "clear", "foggy", "near, clear", "near, foggy", "far, clear", "far, foggy")
METRICS: Final = ("miou", "pixel_accuracy")
Scores = Mapping[str, Mapping[str, Any]]


def main(arguments: Sequence[str]) -> int:
    """Score, write, and give the exit code."""
    parser = argparse.ArgumentParser(description="Scores of a finished study by region.")
    parser.add_argument("study", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--json", action="store_true", help="print the record in place of the tables")
    given = parser.parse_args(arguments)
    try:
        planned, jobs = finished_jobs(given.study, given.folder)
        record = {**measured(planned, jobs, given.folder), **provenance()}
    except UserError as error:
        print(f"regions: {error}", file=sys.stderr)
        return EXIT_CODE
    output, text = given.output or given.folder, tables(record)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "regions.json", record)
    write_atomically(output / "regions.md", lambda file: file.write(text.encode()))
    print(json.dumps(record, indent=2) if given.json else text)
    return 0


def measured(planned: Planned, jobs: list[Job], folder: Path) -> dict[str, Any]:
    """Scores of every run, and the differences of the study's comparisons."""
    dataset = town(planned.parts[REPORT].data)
    fog = {
        name: render(dataset.seed, place, number, size=dataset.size, fog=dataset.fog).beta
        for name, (place, number) in zip(dataset.ids, dataset.places, strict=True)
    }
    batches = list(whole_images(dataset, planned.parts[REPORT].data))
    runs = {job: region_scores(kept_network(job, folder), batches, fog, dataset) for job in jobs}
    arms = by_arm(jobs, planned)
    return {
        "study": planned.study.title,
        "frames": len(dataset),
        "pixels": {region: entry["pixels"] for region, entry in next(iter(runs.values())).items()},
        "teachers": [{"name": job.name, "scores": runs[job]} for job in jobs if job.seed is None],
        "arms": [
            {
                "name": name,
                "title": planned.study.arms[name].title or name,
                "seeds": list(seeds),
                "scores": {
                    region: {
                        metric: _spread([runs[job][region][metric] for job in seeds.values()]) for metric in METRICS
                    }
                    for region in REGIONS
                },
            }
            for name, seeds in arms.items()
            if seeds
        ],
        "differences": [
            found
            for comparison in planned.study.comparisons
            for found in _differences(comparison.arm, comparison.against, arms, runs)
        ],
    }


def town(config: DataConfig) -> Fogtown:
    """The report part, uncached: every network sees the same batches.

    Raises:
        ConfigurationError: for another data set, or towns without depth.
    """
    if config.name != "fogtown" or config.options.get("extra") not in ("depth", "inverse_depth"):
        raise ConfigurationError(
            f"expected fogtown with extra depth or inverse_depth, got {config.name} with {config.options}",
            remedy="regions need the depth and the fog of every frame; choose a study on fogtown",
        )
    size = {} if config.size is None else {"size": config.size}
    return fogtown(
        part="report", **size, **{key: config.options[key] for key in option_names("fogtown") if key in config.options}
    )


@torch.no_grad()
def region_scores(
    network: Network, batches: Sequence[Batch], fog: Mapping[str, float], dataset: Fogtown
) -> dict[str, dict[str, Any]]:
    """`METRICS` and the number of pixels, by region."""
    metrics = RegionMetrics(REGIONS, class_names=dataset.info.class_names)
    for batch in batches:
        assert batch.extra is not None
        assert batch.label is not None
        depth = metres(batch.extra, batch.extra_kinds)
        near, clear = depth_regions(depth), fog_regions(depth, torch.tensor([fog[name] for name in batch.ids]))
        logits = predict(network, batch.image, batch.extra, settings=EvaluateSettings(), extra_kinds=batch.extra_kinds)
        metrics.update(logits, batch.label, {**near, **clear, **crossed(near, clear)})
    return {
        region: {**{metric: getattr(scores, metric) for metric in METRICS}, "pixels": scores.pixels}
        for region, scores in metrics.compute().items()
    }


def _spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return vars(spread(known)) if known else None


def _differences(
    arm: str, against: str, arms: Mapping[str, dict[int, Job]], runs: Mapping[Job, Scores]
) -> list[dict[str, Any]]:
    shared = [seed for seed in arms[arm] if seed in arms[against]]
    found: list[dict[str, Any]] = []
    for region in REGIONS:
        for metric in METRICS:
            pairs = [
                (runs[arms[arm][seed]][region][metric], runs[arms[against][seed]][region][metric]) for seed in shared
            ]
            pairs = [pair for pair in pairs if None not in pair]
            if pairs:
                difference = paired_difference(*zip(*pairs, strict=True))
                word = verdict(difference, equivalence=EQUIVALENCE if metric == "miou" else None)
                head = {"arm": arm, "against": against, "region": region, "metric": metric}
                found.append({**head, **vars(difference), "verdict": word})
    return found


def tables(record: Mapping[str, Any]) -> str:
    """Markdown: mIoU and pixel accuracy by region, and the differences in mIoU; in percent."""
    parts = [f"# {record['study']}: by region", f"{record['frames']} frames; raw scores in percent."]
    parts.append(
        _markdown(["region", "pixels"], [[region, str(pixels)] for region, pixels in record["pixels"].items()])
    )
    for metric in METRICS:
        rows = [
            [f"teacher {one['name']}", *(_percent(one["scores"][region][metric]) for region in REGIONS)]
            for one in record["teachers"]
        ]
        rows += [
            [arm["title"], *(_mean(arm["scores"][region][metric]) for region in REGIONS)] for arm in record["arms"]
        ]
        parts += [f"## {metric}", _markdown(["arm", *REGIONS], rows)]
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for one in record["differences"]:
        if one["metric"] == "miou":
            cells.setdefault((one["arm"], one["against"]), {})[one["region"]] = _difference(one)
    rows = [[f"{a} − {b}", *(found.get(region, "–") for region in REGIONS)] for (a, b), found in cells.items()]
    parts += ["## differences in miou, paired by seed, 95 % intervals", _markdown(["difference", *REGIONS], rows)]
    return "\n\n".join(parts) + "\n"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _mean(over: Mapping[str, Any] | None) -> str:
    if over is None:
        return "–"
    return _percent(over["mean"]) if over["sd"] is None else f"{_percent(over['mean'])} ± {_percent(over['sd'])}"


def _difference(of: Mapping[str, Any]) -> str:
    if of["low"] is None:
        return f"{100 * of['mean']:+.2f} {of['verdict']}"
    return f"{100 * of['mean']:+.2f} [{100 * of['low']:+.2f}, {100 * of['high']:+.2f}] {of['verdict']}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
