"""A network as the rest of foglight sees it: images in [0, 1] in, a ModelOutput in at least float32 out.

`Network` wraps an architecture (`SegmentationModule`) and adds what no architecture should care about: normalisation,
padding, taps, two classes from one channel, the spread under dropout, and a measured description of itself. It knows no
loss and no weights file. Shapes: b batch, x extra channels, k classes, h w the head's grid, H W the image's grid.
"""

import math
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import UserError
from foglight.functional.binary import at_least_two_classes
from foglight.models.dry_run import DropoutPath, TapTable, measure
from foglight.models.extra_input import wanted_extra
from foglight.models.mc_dropout import Frame, Observation
from foglight.models.padding import Padding
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.sigma_plan import plan
from foglight.models.taps import find_position, inserted, legal_taps, recorded
from foglight.types import ChannelKind, DropoutInfo, ModelInfo, ModelOutput, SigmaRequest, at_least_float32

Colour = tuple[float, float, float]
IMAGENET: Final[tuple[Colour, Colour]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
UNNORMALISED: Final[tuple[Colour, Colour]] = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
FROM_SCRATCH: Final = "from scratch"
_PROBE: Final = (64, 64)  # large enough for every stride in use, small enough to cost nothing
_LARGEST_STRIDE: Final = 32


@final
@dataclass(frozen=True)
class BuilderRecord:
    """How to build the same architecture again, as `student.json` stores it.

    Attributes:
        name: a registry name, or `module:package.mod:build`.
        options: keyword arguments of the builder; plain JSON values.
        num_classes: k.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int = 1


@final
class Network(nn.Module):
    """An architecture with everything around it.

    Args:
        module: the architecture; its weights are this network's only state.
        num_classes: k, as the losses see it: 2 for a head of one channel.
        mean: subtracted from red, green, blue in [0, 1].
        std: what they are then divided by.
        name: for messages and reports.
        builder: how to build it again; None for an architecture that only the caller can build.
        weights_source: where the weights come from, for reports.
        class_names: by class, where the weights know them; empty elsewhere.
        extra_kinds: what the extra channels that the weights have learned from measure; empty where that is not known.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: SegmentationModule,
        *,
        num_classes: int,
        mean: Colour,
        std: Colour,
        name: str,
        builder: BuilderRecord | None,
        weights_source: str = FROM_SCRATCH,
        class_names: tuple[str, ...] = (),
        extra_kinds: tuple[ChannelKind, ...] = (),
    ) -> None:
        super().__init__()
        self.module = module
        self.num_classes = num_classes
        self.normalisation = (mean, std)
        self.name = name
        self.builder = builder
        self.weights_source = weights_source
        self.class_names = class_names
        self.extra_kinds = extra_kinds
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self._path: DropoutPath | None = None

    def forward(
        self,
        image: Float[Tensor, "b 3 H W"],
        extra: Float[Tensor, "b x H W"] | None = None,
        *,
        taps: Collection[str] = (),
        sigma: Collection[SigmaRequest] = (),
        label_size: tuple[int, int] | None = None,
        seed: int = 0,
        auxiliary: bool = False,
    ) -> ModelOutput:
        """Logits, and only what was asked for beside them.

        Args:
            image: red, green, blue in [0, 1].
            extra: depth, normals or further channels, for networks that read them; the others ignore them.
            taps: aliases or module paths whose feature is wanted.
            sigma: standard deviations under dropout; the passes run after this forward and leave no trace of it.
            label_size: height and width of the label, needed for sigma at the label's grid.
            seed: of the passes' own random stream.
            auxiliary: whether to run the auxiliary heads.

        Raises:
            ConfigurationError: if the network reads extra channels that the batch does not have.
            UserError: for a tap that does not exist or never fired, and for a sigma that cannot be estimated.
            ValueError: if sigma at the label's grid is wanted and no `label_size` is given.
        """
        if label_size is None and any(request.grid == "label" for request in sigma):
            raise ValueError('expected label_size for sigma with grid "label", got None; pass the label\'s (H, W)')
        frame = self._frame(image, extra, label_size, seed)
        plans = {request: plan(self.module, self.dropout_path(), request) for request in sigma}
        observation = Observation(self.module, self.dropout_path(), tuple(plans.values())) if plans else None
        with ExitStack() as stack:
            features = stack.enter_context(recorded(self.module, taps))
            if observation is not None:
                stack.enter_context(observation.watching())
            logits, side = self.module(frame.image, frame.extra, auxiliary=auxiliary)
        self._check(logits, taps, features)
        return ModelOutput(
            at_least_two_classes(frame.crop(logits)),
            {tap: frame.crop(features[tap]) for tap in taps},
            tuple(at_least_two_classes(frame.crop(one)) for one in side),
            {request: observation.sigma(one, frame) for request, one in plans.items()} if observation else {},
        )

    def sample_logits(
        self,
        image: Float[Tensor, "b 3 H W"],
        extra: Float[Tensor, "b x H W"] | None = None,
        *,
        passes: int,
        seed: int = 0,
    ) -> list[Float[Tensor, "b k h w"]]:
        """Logits of T stochastic passes without gradient, as a predictive mean needs them; see `forward`.

        Raises:
            RefusedError: named `no-dropout`, where every pass would be the same.
        """
        one = plan(self.module, self.dropout_path(), SigmaRequest(estimator="replay", passes=passes))
        drawn = Observation(self.module, self.dropout_path(), ()).passes(one, self._frame(image, extra, None, seed))
        return [at_least_two_classes(logits) for logits in drawn]

    @property
    def align_corners(self) -> bool:
        """How this network's logits are resized, in training, evaluation and export alike."""
        return self.module.align_corners

    @property
    def extra_channels(self) -> int:
        """How many channels beside the colour image it reads; 0 for a network of colour images."""
        return self.module.extra_channels

    def info(self, size: tuple[int, int] = _PROBE, taps: Collection[str] = ()) -> ModelInfo:
        """What this network is, measured on a black image of that size; no state is touched.

        Its taps list the aliases, but any module path can be looked up in them.

        Args:
            size: height and width in pixels, rounded up to multiples of 32 and of what the architecture accepts.
            taps: positions to list beside the aliases.

        Raises:
            UserError: for a tap that does not exist or never fires without auxiliary heads.
        """
        padded = self._probe_size(size)
        found = measure(self.module, padded)
        table = TapTable(self.module, found.fired, tuple(taps))
        for tap in taps:
            find_position(self.module, tap)
            if tap not in table:
                raise self._never_fired(tap)
        stride = round(padded[0] / found.logits[2]) if len(found.logits) > 2 else 0
        dropouts = found.path.active(self.module)
        return ModelInfo(max(2, found.logits[1]), stride, table, self.module.align_corners, dropouts)

    def active_dropouts(self) -> tuple[DropoutInfo, ...]:
        """The dropouts with a rate above zero between image and logits; without any there is no MC dropout."""
        return self.dropout_path().active(self.module)

    def dropout_path(self) -> DropoutPath:
        """The dropouts between image and logits, whatever their rate; measured once."""
        if self._path is None:
            self._path = measure(self.module, self._probe_size(_PROBE)).path
        return self._path

    def inserted(self, insertions: Mapping[str, nn.Module]) -> AbstractContextManager[None]:
        """Within it, a module stands in this network's path at each tap, as teacher adaptation needs."""
        return inserted(self.module, insertions)

    def _frame(self, image: Tensor, extra: Tensor | None, label_size: tuple[int, int] | None, seed: int) -> Frame:
        padding = Padding.to_multiple((image.shape[2], image.shape[3]), self.module.size_multiple)
        # Under autocast each operation casts for itself; a network whose weights are half or double needs such images.
        dtype = next((parameter.dtype for parameter in self.module.parameters()), image.dtype)
        extra = wanted_extra(extra, self.extra_channels, name=self.name)
        return Frame(
            padding.pad(((image - self.mean) / self.std).to(dtype)),
            None if extra is None else padding.pad(extra.to(dtype)),
            lambda values: at_least_float32(padding.crop(values)),
            label_size,
            seed,
        )

    def _probe_size(self, size: tuple[int, int]) -> tuple[int, int]:
        # Only a size that every stride divides shows the strides as whole numbers.
        return Padding.to_multiple(size, math.lcm(self.module.size_multiple, _LARGEST_STRIDE)).padded

    def _check(self, logits: Tensor, taps: Collection[str], features: Mapping[str, Tensor]) -> None:
        for tap in taps:
            if tap not in features:
                raise self._never_fired(tap)
        if max(2, logits.shape[1]) != self.num_classes:
            raise UserError(
                f"expected {self.num_classes} classes from {self.name}, got {logits.shape[1]} channels of logits",
                remedy="set num_classes to what the network was built with",
            )

    def _never_fired(self, tap: str) -> UserError:
        remedy = legal_taps(self.module, tap)
        return UserError(f"the tap {tap!r} of {self.name} never fired: no forward runs through it", remedy=remedy)
