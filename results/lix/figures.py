"""The figures of a finished study: CKA and beta over training, and the probability of one class.

    python results/lix/figures.py STUDY.yaml FOLDER [--output DIR] [--class NAME] [--arms A,B,...] [--frames N] [--json]

Reads `metrics.jsonl` of every run, where `foglight study` has written the CKA of student and teacher features at every
evaluation (`foglight/engine/feature_similarity.py`) and beta's mean, spread and quantiles at every log point. Writes
into DIR, which is FOLDER if it is not given:

    curves.json, cka.png, beta.png   mean over seeds; the band of `cka.png` is the range over seeds
    probability_NAME.png             first seed; the frames with the most pixels of that class, so chosen by label alone

LIX (arXiv 2403.08215v2), figures 5 and 6. Cost: one forward per frame and arm, seconds.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from finished import by_arm, finished_jobs, kept_network
from matplotlib.figure import Figure

from foglight.atomic import write_atomically, write_json
from foglight.config.build import build_part
from foglight.data.sample import collate
from foglight.engine.evaluate import EvaluateSettings
from foglight.engine.log import read_metrics
from foglight.errors import EXIT_CODE, ConfigurationError, UserError
from foglight.provenance import provenance
from foglight.report.class_probability import probability_rows, write_probability_panel
from foglight.study.jobs import Job
from foglight.study.load import Planned
from foglight.study.schema import REPORT

CKA: Final = "cka."
BETA: Final = "beta_"
# Figure, curve, arm, step: mean, smallest and largest over seeds.
Curves = dict[str, dict[str, dict[int, tuple[float, float, float]]]]


def main(arguments: Sequence[str]) -> int:
    """Draw, write, and give the exit code."""
    parser = argparse.ArgumentParser(description="The figures of a finished study.")
    parser.add_argument("study", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--class", dest="class_name", default="sign", help="whose probability is drawn")
    parser.add_argument("--arms", help="of the study, divided by commas; all if not given")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    given = parser.parse_args(arguments)
    output = given.output or given.folder
    try:
        planned, jobs = finished_jobs(given.study, given.folder)
        arms = _chosen(given.arms, by_arm(jobs, planned))
        output.mkdir(parents=True, exist_ok=True)
        written = [*_curves(arms, given.folder, output)]
        written.append(_panel(planned, arms, jobs, given.folder, output, given.class_name, given.frames))
    except UserError as error:
        print(f"figures: {error}", file=sys.stderr)
        return EXIT_CODE
    names = [str(path) for path in written]
    print(json.dumps({"written": names}) if given.json else "written  " + ", ".join(names))
    return 0


def curves(arms: Mapping[str, Mapping[int, Job]], folder: Path, prefix: str) -> Curves:
    """Every figure that begins with the prefix, by arm and step: mean, smallest and largest over seeds."""
    seen: dict[str, dict[str, dict[int, list[float]]]] = {}
    for arm, seeds in arms.items():
        for job in seeds.values():
            for record in read_metrics(job.folder(folder) / "metrics.jsonl"):
                for name, value in record.items():
                    # A term's figures go by its own name in front: `dwld.beta_mean`.
                    short = name[name.find(prefix) :]
                    if prefix in name and isinstance(value, int | float):
                        seen.setdefault(short, {}).setdefault(arm, {}).setdefault(record["step"], []).append(value)
    return {
        name: {
            arm: {step: (sum(values) / len(values), min(values), max(values)) for step, values in sorted(steps.items())}
            for arm, steps in by_arm_.items()
        }
        for name, by_arm_ in sorted(seen.items())
    }


def curve_figure(found: Curves) -> Figure:
    """One panel per figure, one line per arm."""
    figure = Figure(figsize=(4.2 * len(found), 3.4), layout="constrained")
    for axis, (name, lines) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for arm, points in lines.items():
            steps, values = list(points), list(points.values())
            axis.plot(steps, [mean for mean, _, _ in values], label=arm, linewidth=1.2)
            axis.fill_between(steps, [low for _, low, _ in values], [high for _, _, high in values], alpha=0.12)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("step")
        axis.legend(fontsize=6)
    return figure


def _curves(arms: Mapping[str, Mapping[int, Job]], folder: Path, output: Path) -> list[Path]:
    found = {"cka": curves(arms, folder, CKA), "beta": curves(arms, folder, BETA)}
    write_json(output / "curves.json", {**found, **provenance()})
    written = [output / "curves.json"]
    for name, lines in found.items():
        if lines:
            picture = BytesIO()
            curve_figure(lines).savefig(picture, dpi=110, format="png")
            written.append(output / f"{name}.png")
            write_atomically(written[-1], lambda file, content=picture.getvalue(): file.write(content))
    return written


def _panel(
    planned: Planned,
    arms: Mapping[str, Mapping[int, Job]],
    jobs: Sequence[Job],
    folder: Path,
    output: Path,
    class_name: str,
    frames: int,
) -> Path:
    data = build_part(planned.parts[REPORT].data, "report")
    names = data.info.class_names
    if class_name not in names:
        raise ConfigurationError(f"--class: there is no class {class_name!r}", remedy=f"one of {', '.join(names)}")
    index = names.index(class_name)
    samples = [data[number] for number in range(len(data))]
    samples.sort(key=lambda sample: 0 if sample.label is None else -int((sample.label == index).sum()))
    taught = {planned.study.arms[name].teacher for name in arms}
    chosen = {f"teacher {job.name}": job for job in jobs if job.seed is None and job.name in taught}
    for name, seeds in arms.items():
        chosen[planned.study.arms[name].title or name] = seeds[min(seeds)]
    networks = {title: kept_network(job, folder) for title, job in chosen.items()}
    rows = probability_rows(networks, collate(samples[:frames]), index, settings=EvaluateSettings())
    return write_probability_panel(
        rows, output / f"probability_{class_name.replace(' ', '_')}.png", class_name=class_name
    )


def _chosen(names: str | None, arms: Mapping[str, dict[int, Job]]) -> dict[str, dict[int, Job]]:
    finished = {name: seeds for name, seeds in arms.items() if seeds}
    if names is None:
        return finished
    wrong = [name for name in names.split(",") if name not in finished]
    if wrong:
        raise ConfigurationError(
            f"--arms: {', '.join(wrong)}: not an arm with a finished run", remedy=f"choose from {', '.join(finished)}"
        )
    return {name: finished[name] for name in names.split(",")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
