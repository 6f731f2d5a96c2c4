"""Monte-Carlo dropout, three ways: the spread of a network's softmax when its dropouts are drawn again.

    sigma = std over t = 1..T of softmax(z_t / temperature),    z_t: logits "b k *grid" of pass t, dropout on

`closed_form`: no pass at all (`foglight.models.closed_form`); complete where the only active dropout feeds a linear
classifier. `replay`: T passes of what follows the first active dropout (`foglight.models.replay`). `full`: T whole
forwards, the paper's literal procedure. All without gradient; auxiliary heads are never run.

A pass is the function that the training forward was: BatchNorms in train mode use the batch's statistics, those in eval
(a frozen teacher, whose dropouts are switched on for the passes alone) their running ones. Stochastic depth is off in
the passes; then, or where `batch_norm: running` changes the prefix, the first pass is whole and the rest replay it.

Source: FOTF (equations 4 and 5; Gal and Ghahramani 2016). Changed: only dropout modules are drawn again, functional
dropout is not seen; running statistics and the training pass's random stream stay untouched unless asked otherwise.
Cost: closed form a few 1x1 convolutions, replay T times what follows the first dropout, full T forwards; in per cent of
a training step by `benchmarks/fotf_step.py`.
"""

from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from foglight.functional.resize import resize
from foglight.functional.sampled_sigma import RunningSoftmaxStd
from foglight.models.closed_form import closed_form_sigma
from foglight.models.dry_run import Dropout, DropoutPath, find_dropout
from foglight.models.pass_settings import (
    batch_norms,
    dropouts_active,
    in_eval,
    random_stream,
    stochastic_depths,
    training_batch_norms,
)
from foglight.models.replay import Memory
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.sigma_plan import Plan
from foglight.types import SigmaRequest


@final
@dataclass(frozen=True)
class Frame:
    """What a pass needs to know of the forward it repeats.

    Attributes:
        image: normalised and padded.
        extra: padded, or None.
        crop: takes a map of the padded image back to the image's own part, in at least float32.
        label_size: height and width of the label, None unless known.
        seed: of the passes' own stream.
    """

    image: Tensor
    extra: Tensor | None
    crop: Callable[[Tensor], Tensor]
    label_size: tuple[int, int] | None
    seed: int


@final
class Observation:
    """Sees one forward, then estimates.

    Args:
        module: the network.
        path: its dropouts.
        plans: one per request.
    """

    def __init__(self, module: SegmentationModule, path: DropoutPath, plans: Collection[Plan]) -> None:
        self._module = module
        self._path = path
        self._plans = plans
        self._features: dict[str, Tensor] = {}
        self._memories: dict[Plan, Memory] = {}

    @contextmanager
    def watching(self) -> Generator[None]:
        """The training forward happens inside."""
        with ExitStack() as stack:
            for one in self._plans:
                first = one.active[0]
                dropout = find_dropout(self._module, first)
                if one.estimator == "closed_form":
                    stack.callback(dropout.register_forward_pre_hook(self._reader(first)).remove)
                if one.estimator == "replay" and self._prefix_is_shared(one):
                    self._memories[one] = Memory(dropout)
                    stack.enter_context(self._memories[one].watching(self._module))
                if one.estimator != "full":
                    stack.enter_context(_out_of_place(dropout))
            yield

    @torch.no_grad()
    def sigma(self, one: Plan, frame: Frame) -> Tensor:
        """The standard deviation that was asked for, "b k *grid"."""
        if one.estimator == "closed_form":
            return self._closed_form(one, frame)
        running = RunningSoftmaxStd(temperature=one.request.temperature)
        for logits in self.passes(one, frame):
            with torch.autocast(logits.device.type, enabled=False):
                running.add(self._at_grid(logits, one.request, frame))
        return running.std(ddof=one.request.ddof)

    @torch.no_grad()
    def passes(self, one: Plan, frame: Frame) -> list[Tensor]:
        """The logits of every stochastic pass, "b k h w"."""
        with ExitStack() as stack:
            stack.enter_context(dropouts_active(self._module, one.active, one.inactive, one.request.rate))
            stack.enter_context(in_eval(stochastic_depths(self._module)))
            stack.enter_context(batch_norms(self._module, one.request.batch_norm))
            stack.enter_context(random_stream(one.request.stream, seed=frame.seed, device=frame.image.device))
            if one.estimator == "full":
                return [self._run(frame) for _ in range(one.request.passes)]
            logits: list[Tensor] = []
            memory = self._memories.get(one)
            if memory is None:
                first = find_dropout(self._module, one.active[0])
                memory = Memory(first)
                with _out_of_place(first), memory.watching(self._module):
                    logits.append(self._run(frame))
            while len(logits) < one.request.passes:
                with memory.replaying() if memory.usable() else nullcontext():
                    logits.append(self._run(frame))
            return logits

    def _run(self, frame: Frame) -> Tensor:
        return frame.crop(self._module(frame.image, frame.extra, auxiliary=False)[0])

    def _prefix_is_shared(self, one: Plan) -> bool:
        """Whether the training forward computes before the first dropout what a pass would."""
        same_norms = one.request.batch_norm != "running" or not training_batch_norms(self._module)
        return same_norms and not stochastic_depths(self._module)

    def _at_grid(self, logits: Tensor, request: SigmaRequest, frame: Frame) -> Tensor:
        if request.grid == "head" or frame.label_size is None:
            return logits
        return resize(logits, frame.label_size, align_corners=self._module.align_corners)

    def _closed_form(self, one: Plan, frame: Frame) -> Tensor:
        classifier = self._module.get_submodule(self._path.classifier or "")
        assert isinstance(classifier, nn.Conv2d | nn.Linear), "plan() lets only complete networks through"
        dropout = find_dropout(self._module, one.active[0])
        return closed_form_sigma(
            classifier,
            dropout,
            frame.crop(self._features[one.active[0]]),
            one.request,
            rate=dropout.p if one.request.rate is None else one.request.rate,
            label_size=frame.label_size,
            align_corners=self._module.align_corners,
        )

    def _reader(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            self._features[name] = arguments[0].detach()

        return hook


@contextmanager
def _out_of_place(dropout: Dropout) -> Generator[None]:
    """An in-place dropout would overwrite the very feature that the passes start from."""
    before = dropout.inplace
    dropout.inplace = False
    try:
        yield
    finally:
        dropout.inplace = before
