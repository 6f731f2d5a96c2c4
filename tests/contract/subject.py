"""A loss under test, and what a training loop does with it: run it, walk its graph, update it, adapt its teacher."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foglight.functional.resize import resize
from foglight.losses.base import AdversarialLoss, DistillationLoss, TeacherAdapted
from foglight.types import ModelInfo

from .scene import CLASSES, SIZE, Pair, Scene, make_scene


@dataclass(frozen=True)
class Subject:
    """A loss under test.

    Attributes:
        name: test id.
        construct: (student info, teacher info) -> loss.
        classification: whether it also takes logits without a grid.
        keeps_divergences: False where a class-resolved pixel weight makes a divergence negative.
        size: of the scene's images.
    """

    name: str
    construct: Callable[[ModelInfo, ModelInfo | None], DistillationLoss]
    classification: bool = False
    keeps_divergences: bool = True
    size: tuple[int, int] = SIZE

    def build(self, pair: Pair = Pair(), *, seed: int = 0, with_teacher: bool = True) -> DistillationLoss:
        """A loss as the distillation meets it: constructed under a seed, its teacher side adapted and frozen."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loss = self.construct(pair.student, pair.teacher if with_teacher else None)
        for part in loss.modules():
            if isinstance(part, TeacherAdapted):
                for _ in adaptation(part, pair):
                    pass
                part.adapt_modules.requires_grad_(False).eval()
        return loss

    def scene(self, loss: DistillationLoss, *, pair: Pair = Pair(), seed: int = 0, images: int = 2) -> Scene:
        return make_scene(loss.requires, pair=pair, seed=seed, images=images, size=self.size)


def run(loss: DistillationLoss, scene: Scene) -> dict[str, Tensor]:
    return loss(scene.student, scene.teacher, scene.batch)


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([value.to(torch.float64) for value in terms.values()]).sum()


def gradients(value: Tensor, leaves: Iterable[Tensor]) -> list[Tensor]:
    leaves = list(leaves)
    if not value.requires_grad or not leaves:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]


def trained(loss: DistillationLoss) -> list[nn.Parameter]:
    """What the run's optimiser gets: all groups without what another optimiser or stage owns, as the engine does."""
    elsewhere = {id(parameter) for parameter in owned_elsewhere(loss)}
    groups = [parameter for group in loss.optimiser_groups() for parameter in group.parameters]
    return [parameter for parameter in groups if id(parameter) not in elsewhere]


def owned_elsewhere(loss: DistillationLoss) -> Iterator[nn.Parameter]:
    for part in loss.modules():
        if isinstance(part, AdversarialLoss):
            yield from part.discriminator.parameters()
        if isinstance(part, TeacherAdapted):
            yield from part.adapt_modules.parameters()


def graph_leaves(value: Tensor) -> set[Tensor]:
    """Every tensor that a gradient of `value` would be added to."""
    leaves: set[Tensor] = set()
    seen: set[object] = set()
    pending = [value.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            leaves.add(leaf)
        pending.extend(following for following, _ in node.next_functions)
    return leaves


def update(loss: DistillationLoss, scene: Scene) -> None:
    """One step of plain gradient descent on the loss's own parameters."""
    parameters = trained(loss)
    steps = gradients(total(run(loss, scene)), parameters)
    with torch.no_grad():
        for parameter, step in zip(parameters, steps, strict=True):
            parameter -= 0.01 * step


def assert_finite(loss: DistillationLoss, scene: Scene) -> dict[str, Tensor]:
    """Terms with a graph whose values and gradients are finite."""
    terms = run(loss, scene)
    assert terms, "expected at least one term"
    for name, value in terms.items():
        assert value.ndim == 0, f"{name}: expected a scalar, got shape {tuple(value.shape)}"
        assert torch.isfinite(value), f"{name}: expected a finite value, got {value.item()}"
        assert value.requires_grad, f"{name}: expected a graph, got a constant"
        for grad in gradients(value, [*scene.student_leaves().values(), *trained(loss)]):
            assert torch.isfinite(grad).all(), f"{name}: expected finite gradients"
    return terms


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], *, rtol: float = 0.0) -> None:
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=rtol, atol=rtol, msg=f"{name} changed")


def adaptation(loss: TeacherAdapted, pair: Pair) -> Iterator[Tensor]:
    """A few steps of the stage on a stand-in teacher whose logits read the taps that the insertions stand in."""
    assert isinstance(loss, DistillationLoss)
    for seed in range(min(loss.adapt_steps, 3)):
        scene = make_scene(loss.requires, pair=pair, seed=seed)
        assert scene.teacher is not None
        logits, taps = scene.teacher.logits, dict(scene.teacher.features)
        for tap, module in loss.insertions.items():
            taps[tap] = module(scene.teacher.features[tap])
            read = resize(taps[tap], logits.shape[2:], align_corners=False)
            logits = logits + read[:, [channel % read.shape[1] for channel in range(CLASSES)]]
        value = loss.adapt_loss(replace(scene.teacher, logits=logits, features=taps), scene.batch)
        parameters = list(loss.adapt_modules.parameters())
        yield value
        with torch.no_grad():
            for parameter, grad in zip(parameters, gradients(value, parameters), strict=True):
                parameter -= 0.1 * grad
