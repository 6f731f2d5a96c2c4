"""Two gloo processes, each with its own images: does every loss run, and are shared queues the same everywhere?"""

import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing

from foglight.losses.base import DistillationLoss
from foglight.losses.memory import RingBuffer
from foglight.losses.registry import loss_names
from foglight.types import ModelOutput

from .scene import Scene
from .subject import Subject, gradients, run, total, trained
from .test_losses import registered

PROCESSES = 2
STEPS = 2

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distributed")]


@dataclass
class Report:
    """What one process has to say about one loss.

    Attributes:
        problem: a traceback, empty where there was none.
        finite: by term, whether value and gradients were.
        queues: contents, heads and counts of every queue.
    """

    problem: str = ""
    finite: dict[str, bool] = field(default_factory=dict)
    queues: dict[str, Tensor] = field(default_factory=dict)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Report]]:
    """By loss, one report of each process."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(one_process, args=(folder, loss_names()), nprocs=PROCESSES)
    by_rank = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(PROCESSES)]
    return {name: [of_rank[name] for of_rank in by_rank] for name in loss_names()}


@pytest.mark.parametrize("name", loss_names())
def test_every_process_gets_finite_gradients(name: str, reports: dict[str, list[Report]]) -> None:
    for rank, report in enumerate(reports[name]):
        assert not report.problem, f"process {rank}:\n{report.problem}"
        assert report.finite, "expected at least one term"
        for term, finite in report.finite.items():
            assert finite, f"process {rank}: {term} or one of its gradients is not finite"


def test_gathered_queues_are_equal(reports: dict[str, list[Report]]) -> None:
    with_queues = {name: [report.queues for report in each] for name, each in reports.items() if each[0].queues}
    assert {"cirkd_channel", "cirkd_memory"} <= set(with_queues)
    for name, (first, *others) in with_queues.items():
        for key, value in first.items():
            assert all(torch.equal(value, other[key]) for other in others), f"{name}: {key} differs between processes"
            assert not key.endswith("count") or value.any(), f"{name}: {key}: nothing was stored"


def test_region_queues_are_those_of_one_process_with_all_images(reports: dict[str, list[Report]]) -> None:
    """Means of classes are not drawn at random, so that they can be compared slot by slot."""
    subject = registered("cirkd_memory")
    loss = subject.build()
    for step in range(STEPS):
        run(loss, joined([scene_of(subject, loss, rank, step) for rank in range(PROCESSES)]))
    stored = reports["cirkd_memory"][0].queues
    alone = dict(queue_states(loss))
    for key in ("regions.vectors", "regions.head", "regions.count", "pixels.count"):
        torch.testing.assert_close(alone[key], stored[key], rtol=1e-5, atol=1e-6)


def one_process(rank: int, folder: Path, names: list[str]) -> None:
    """Every loss for a few steps; what happened is written to `folder`."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        rank=rank,
        world_size=PROCESSES,
        timeout=timedelta(seconds=60),
    )
    reports: dict[str, Report] = {}
    for name in names:
        try:
            reports[name] = report_on(registered(name), rank)
        except Exception:  # one loss that fails must not silence the others
            reports[name] = Report(problem=traceback.format_exc())
        # A process that failed before it gathered must not meet the next loss's gathering.
        distributed.barrier()
    torch.save(reports, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def report_on(subject: Subject, rank: int) -> Report:
    loss, report = subject.build(), Report()
    for step in range(STEPS):
        scene = scene_of(subject, loss, rank, step)
        terms = run(loss, scene)
        leaves = [*scene.student_leaves().values(), *trained(loss)]
        for name, value in terms.items():
            finite = all(bool(torch.isfinite(each).all()) for each in [value, *gradients(value, leaves)])
            report.finite[name] = report.finite.get(name, True) and finite
        total(terms).backward()
    report.queues = dict(queue_states(loss))
    return report


def scene_of(subject: Subject, loss: DistillationLoss, rank: int, step: int) -> Scene:
    scene = subject.scene(loss, seed=PROCESSES * step + rank)
    return replace(scene, batch=replace(scene.batch, rank=rank, step=step))


def queue_states(loss: DistillationLoss) -> Iterator[tuple[str, Tensor]]:
    for name, module in loss.named_modules():
        if isinstance(module, RingBuffer):
            for key, value in module.state_dict().items():
                yield f"{name}.{key}", value


def joined(scenes: list[Scene]) -> Scene:
    """One scene with the images of all."""

    def join(outputs: list[ModelOutput | None]) -> ModelOutput:
        there = [output for output in outputs if output is not None]
        taps = {tap: torch.cat([output.features[tap] for output in there]) for tap in there[0].features}
        return ModelOutput(torch.cat([output.logits for output in there]), taps)

    labels = [scene.batch.label for scene in scenes if scene.batch.label is not None]
    images = [scene.batch.image for scene in scenes]
    return Scene(
        join([scene.student for scene in scenes]),
        join([scene.teacher for scene in scenes]),
        replace(scenes[0].batch, image=torch.cat(images), label=torch.cat(labels)),
    )
