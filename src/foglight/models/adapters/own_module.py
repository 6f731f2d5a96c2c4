"""Any nn.Module that returns logits, a dict with them, or an object that has them, as a network of foglight.

Read in this order: a tensor; a mapping with `out` or `logits` (auxiliary logits under `aux`, as torchvision's);
an object with `.logits` (as transformers'); a tuple or list whose first entry is one of these.
Taps are module paths of the user's own module. Where the module resizes its logits itself, they are taken as they are;
then MC dropout samples instead of taking the closed form.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import UserError
from foglight.models.dry_run import measure
from foglight.models.network import UNNORMALISED, Colour, Network
from foglight.models.segmentation_module import SegmentationModule

PREFIX: Final = "module:"
_MAIN: Final = ("out", "logits")
_PROBE: Final = (64, 64)


@runtime_checkable
class HasLogits(Protocol):
    """An output object in the manner of transformers."""

    logits: Tensor


@final
class OwnModule(SegmentationModule):
    """Wraps a module whose source nobody has to touch.

    Args:
        inner: called with the normalised image, and with the extra channels where there are any.
        align_corners: how its logits are resized to the label.
        transposed: whether its logits are "b h w k".
        size_multiple: what the image's sides must be divisible by.
        extra_channels: how many extra channels it takes.
    """

    def __init__(
        self,
        inner: nn.Module,
        *,
        align_corners: bool = False,
        transposed: bool = False,
        size_multiple: int = 1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.align_corners = align_corners
        self.transposed = transposed
        self.size_multiple = size_multiple
        self.extra_channels = extra_channels
        self.tap_root = "inner"  # a user writes the paths of the own module, without the wrapper's prefix

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """The module's own logits; its auxiliary ones where it has computed any."""
        said = self.inner(image) if extra is None else self.inner(image, extra)
        logits = _logits(said)
        side = _auxiliary(said) if auxiliary else ()
        if self.transposed:
            return logits.movedim(-1, 1), tuple(one.movedim(-1, 1) for one in side)
        return logits, side


def as_network(
    module: nn.Module,
    *,
    num_classes: int | None = None,
    mean: Colour = UNNORMALISED[0],
    std: Colour = UNNORMALISED[1],
    align_corners: bool = False,
) -> Network:
    """A module as a Network; the number of classes is measured where it is not given.

    Args:
        module: an architecture of foglight, or any module that returns logits.
        num_classes: k.
        mean: subtracted from images in [0, 1]; by default the module sees [0, 1] itself.
        std: what they are then divided by.
        align_corners: how its logits are resized to the label; an architecture of foglight knows for itself.

    Raises:
        UserError: if the module returns nothing that can be read as logits.
    """
    wrapped = module if isinstance(module, SegmentationModule) else OwnModule(module, align_corners=align_corners)
    if num_classes is None:
        multiple = wrapped.size_multiple
        size = (-(-_PROBE[0] // multiple) * multiple, -(-_PROBE[1] // multiple) * multiple)
        num_classes = max(2, measure(wrapped, size).logits[1])
    return Network(wrapped, num_classes=num_classes, mean=mean, std=std, name=type(module).__name__, builder=None)


def build_own_module(name: str, *, num_classes: int | None, options: Mapping[str, Any]) -> SegmentationModule:
    """What `module:package.mod:build` builds; `build` is told `num_classes` if it takes it, and the options.

    Raises:
        UserError: if there is no such builder, or it refuses its arguments, or what it returns is no module.
    """
    build = _import_builder(name)
    arguments = dict(options)
    if num_classes is not None and "num_classes" in inspect.signature(build).parameters:
        arguments.setdefault("num_classes", num_classes)
    try:
        built = build(**arguments)
    except TypeError as error:
        raise UserError(f"{name}: {error}", remedy="give its arguments under `options:`") from error
    if not isinstance(built, nn.Module):
        raise UserError(
            f"expected {name} to return an nn.Module, got {type(built).__name__}", remedy="return the module"
        )
    return built if isinstance(built, SegmentationModule) else OwnModule(built)


def _import_builder(name: str) -> Callable[..., object]:
    package, _, attribute = name.removeprefix(PREFIX).partition(":")
    if not package or not attribute:
        raise UserError(f"expected module:package.mod:build, got {name!r}", remedy="name the builder after a colon")
    here = str(Path.cwd())
    if here not in sys.path:  # an installed command does not look where it is called from; a script would
        sys.path.append(here)
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"{name}: {error}", remedy=f"install {package!r}, or call from the folder that holds it"
        ) from error
    build = vars(module).get(attribute)
    if not callable(build):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UserError(f"{package} has no builder {attribute!r}", remedy=f"take one of {', '.join(names) or '(none)'}")
    return build


def _logits(said: object) -> Tensor:
    match said:
        case Tensor():
            return said
        case Mapping():
            mapping = cast(Mapping[str, object], said)
            found = next((mapping[key] for key in _MAIN if key in mapping), None)
        case HasLogits():
            found = said.logits
        case tuple() | list() if said:
            return _logits(cast(Sequence[object], said)[0])
        case _:
            found = None
    if not isinstance(found, Tensor) or not torch.is_floating_point(found):
        raise UserError(
            f"expected logits, a dict with {' or '.join(map(repr, _MAIN))}, or an object with .logits; "
            f"got {type(said).__name__}",
            remedy="wrap the module so that it returns its logits",
        )
    return found


def _auxiliary(said: object) -> tuple[Tensor, ...]:
    if isinstance(said, Mapping):
        side = cast(Mapping[str, object], said).get("aux")
        return (side,) if isinstance(side, Tensor) else ()
    return ()
