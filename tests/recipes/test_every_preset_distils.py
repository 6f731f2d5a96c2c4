"""Does every method preset distil from the command line, and bring down what it says that it minimises?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from foglight.cli import run
from foglight.config.build import build_data, build_model, build_specs, build_student, whole_images
from foglight.config.load import read_config
from foglight.config.presets import load_method, method_names, overlay_names
from foglight.config.schema import RunConfig
from foglight.engine.checkpoint import load_checkpoint
from foglight.engine.distiller import Distiller
from foglight.engine.teacher_stage import stored_adaptation
from foglight.engine.terms import weight_at
from foglight.losses.base import AdversarialLoss, TeacherAdapted
from foglight.losses.memory import RingBuffer
from foglight.types import Batch

# Methods whose summed terms may rise by design, each with where its card or note says so.
EXCEPTIONS: dict[str, str] = {}
METHODS = sorted(set(method_names()) - set(overlay_names()))
QUICK = ["attnfd", "cirkd", "lix", "skd"]
DATA = ["--data", "fogtown", "data.size=[32, 64]", "data.options.frames=12", "data.options.towns=2"]
DATA += ["data.augment.crop=[32, 64]", "data.augment.scale=[0.9, 1.2]", "data.batch_size=4"]
RUN = ["optim.name=adamw", "optim.lr=0.002", "--device", "cpu", "engine.threads=1", "engine.tensorboard=false"]


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that has seen a little."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    assert run(["train", "--student", "lite_m", *DATA, *RUN, "--steps", "60", "-o", str(folder)]) == 0
    return folder


def distil(method: str, teacher: Path, output: Path, *, steps: int) -> RunConfig:
    words = ["distill", "--teacher", str(teacher), "--student", "lite_s", "--method", method, *DATA, *RUN]
    assert run([*words, "--steps", str(steps), "--allow", "weak-teacher", "-o", str(output)]) == 0
    return read_config(output / "config.yaml")


def summed(distiller: Distiller, batch: Batch) -> float:
    """The weighted sum of the terms that teach the student, without those that a discriminator moves."""
    with torch.no_grad():
        student, teacher = distiller.outputs(batch)
        total = 0.0
        for spec, loss in zip(distiller.terms.specs, distiller.terms.built, strict=True):
            terms = {} if isinstance(loss, AdversarialLoss) else loss(student, teacher, batch)
            for name in set(terms) - loss.card.trains_only_itself:
                total += weight_at(spec.of(name), batch.progress) * terms[name].item()
    return total


def queues(distiller: Distiller) -> Iterator[tuple[str, RingBuffer]]:
    return ((name, module) for name, module in distiller.terms.named_modules() if isinstance(module, RingBuffer))


def before_and_after(config: RunConfig, output: Path) -> tuple[float, float]:
    """On whole frames in evaluation mode, with one and the same memory: the untrained student and the trained one."""
    data = build_data(config.data, seed=config.seed)
    assert config.teacher is not None
    student, teacher = build_student(config, num_classes=12), build_model(config.teacher, num_classes=None)
    specs = build_specs(config.losses, seed=config.seed, train=data.train)
    distiller = Distiller(student, teacher, specs, seed=config.seed).eval()
    checkpoint = load_checkpoint(output / "last.ckpt")
    adapted = [loss for loss in distiller.terms.modules() if isinstance(loss, TeacherAdapted)]
    for loss, stored in zip(adapted, sorted((output.parent / "adapted").glob("*.ckpt")), strict=True):
        assert stored_adaptation(stored, loss)
    for name, queue in queues(distiller):
        prefix = f"{name}."
        kept = {key.removeprefix(prefix): value for key, value in checkpoint["losses"].items() if key.startswith(prefix)}
        queue.load_state_dict(kept)
    batch = next(iter(whole_images(data.train, config.data)))
    before = summed(distiller, batch)
    distiller.student.load_state_dict(checkpoint["student"])
    distiller.terms.load_state_dict(checkpoint["losses"])
    return before, summed(distiller, batch)


@pytest.mark.parametrize("method", QUICK)
def test_a_preset_distils_for_a_few_steps(method: str, teacher: Path, tmp_path: Path) -> None:
    distil(method, teacher, tmp_path / "run", steps=10)
    assert (tmp_path / "run" / "student.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_preset_brings_down_its_own_terms(method: str, teacher: Path, tmp_path: Path) -> None:
    config = distil(method, teacher, tmp_path / "run", steps=50)
    assert tuple(config.losses) == load_method(method).losses("fogtown", "lite_s")
    before, after = before_and_after(config, tmp_path / "run")
    print(f"\n{method}: {before:.4f} -> {after:.4f}")
    assert method in EXCEPTIONS or after < before
