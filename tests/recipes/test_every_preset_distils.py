"""Does every method preset distil from the command line, and bring down what it says that it minimises?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from foglight.cli import run
from foglight.config.build import build_data, build_model, build_specs, build_student, micro_batches, whole_images
from foglight.config.load import build_config, read_config
from foglight.config.presets import load_method, method_names, overlay_names
from foglight.config.schema import ModelConfig, RunConfig
from foglight.engine.checkpoint import load_checkpoint
from foglight.engine.distiller import Distiller
from foglight.engine.preflight import check_terms
from foglight.engine.teacher_stage import stored_adaptation
from foglight.engine.terms import Terms, weight_at
from foglight.losses.base import AdversarialLoss, TeacherAdapted
from foglight.losses.memory import RingBuffer
from foglight.models.load import load_network
from foglight.types import Batch

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
    adapted = [loss for loss in distiller.terms.modules() if isinstance(loss, TeacherAdapted) and loss.adapt_steps]
    for loss, stored in zip(adapted, sorted((output.parent / "adapted").glob("*.ckpt")), strict=True):
        assert stored_adaptation(stored, loss)
    for name, queue in queues(distiller):
        queue.load_state_dict({key: checkpoint["losses"][f"{name}.{key}"] for key in queue.state_dict()})
    batch = next(iter(whole_images(data.train, config.data)))
    before = summed(distiller, batch)
    distiller.student.load_state_dict(checkpoint["student"])
    distiller.terms.load_state_dict(checkpoint["losses"])
    return before, summed(distiller, batch)


@pytest.mark.parametrize("method", QUICK)
def test_a_preset_distils_for_a_few_steps(method: str, teacher: Path, tmp_path: Path) -> None:
    distil(method, teacher, tmp_path / "run", steps=10)
    assert (tmp_path / "run" / "student.safetensors").exists()


def test_cud_is_a_chain_of_two_runs(tmp_path: Path) -> None:
    shaped = tmp_path / "shaped"
    words = ["train", "--student", "lite_m", "--method", "focal_entropy", *DATA, *RUN, "--steps", "4"]
    assert run([*words, "-o", str(shaped)]) == 0
    config = distil("cud", shaped, tmp_path / "run", steps=4)
    assert config.teacher is not None
    assert config.teacher.name == str(shaped)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_preset_brings_down_its_own_terms(method: str, teacher: Path, tmp_path: Path) -> None:
    config = distil(method, teacher, tmp_path / "run", steps=50)
    assert tuple(config.losses) == load_method(method).losses("fogtown", "lite_s")
    before, after = before_and_after(config, tmp_path / "run")
    assert after < before


def looked_at(method: str) -> set[str]:
    """The terms of a method that the preflight finds to have a finite gradient on the student."""
    config = build_config({"student": "lite_s", "teacher": "lite_m", "method": method}, [*DATA[2:]])
    data = build_data(config.data, seed=0)
    student, teacher = build_student(config, num_classes=12), build_model(ModelConfig(name="lite_m"), num_classes=12)
    distiller = Distiller(student, teacher, build_specs(config.losses, seed=0, train=data.train))
    return {check.name for check in check_terms(distiller, next(iter(micro_batches(data, config.data, 0, 1))), ())}


@pytest.mark.parametrize(("weighted", "plain"), [("cirkd+fotf", "cirkd"), ("dkd+fog", "dkd"), ("fotf-reduce", "kd")])
def test_a_weighting_lies_over_a_preset(weighted: str, plain: str) -> None:
    assert looked_at(weighted) == looked_at(plain)


@pytest.mark.slow
@pytest.mark.parametrize("student", ["deeplabv3_mbv2", "deeplabv3plus_r18", "pspnet_r18"])
def test_every_preset_finds_its_taps_on_every_kind_of_network(student: str) -> None:
    infos = [load_network(name, num_classes=11).info((64, 128)) for name in (student, "deeplabv3_r18")]
    for method in set(METHODS) - {"ce-weighted"}:
        losses = load_method(method).losses("camvid", student)
        assert Terms(*infos, build_specs(losses, seed=0, train=None)).requires.teacher or len(losses) == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_weighting_lies_over_a_preset(method: str) -> None:
    for overlay in overlay_names():
        assert looked_at(f"{method}+{overlay}") == looked_at(method)
