"""Read, or replace, what flows through a named position of a network, for the length of one `with`.

A position is a module path (`"backbone.layer4"`: that module's output) or a path with `:in` (`"head.act:in"`: its first
input). An alias from `SegmentationModule.tap_names` stands for a position. A module that runs several times in one
forward is read at its last run.

A tapped tensor is copied as it passes (half types to float32), because a later in-place operation, such as
`ReLU(inplace=True)` or `out += shortcut`, would overwrite a pre-activation feature. Cost: one feature map per tap.
"""

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Final

from torch import Tensor, nn

from foglight.errors import UserError
from foglight.models.segmentation_module import SegmentationModule
from foglight.types import at_least_float32

INPUT_SUFFIX: Final = ":in"

# Sees a tap's name and the tensor there; what it returns, if anything, flows on in its place.
OnFire = Callable[[str, Tensor], Tensor | None]


def position_of(module: SegmentationModule, tap: str) -> str:
    """The full module path of a tap, still with its suffix."""
    if tap in module.tap_names:
        return module.tap_names[tap]
    return f"{module.tap_root}.{tap}" if module.tap_root else tap


def find_position(module: SegmentationModule, tap: str) -> tuple[nn.Module, bool]:
    """The module of a tap, and whether its input is meant rather than its output.

    Raises:
        UserError: if there is no such module.
    """
    position = position_of(module, tap)
    path = position.removesuffix(INPUT_SUFFIX)
    try:
        found = module.get_submodule(path) if path else None
    except AttributeError:
        found = None
    if found is None:
        raise UserError(f"expected a tap of {type(module).__name__}, got {tap!r}", remedy=legal_taps(module, tap))
    return found, position.endswith(INPUT_SUFFIX)


def legal_taps(module: SegmentationModule, tap: str) -> str:
    """A sentence for an error message: what `tap` may have meant and what there is."""
    root = module.get_submodule(module.tap_root)
    close = get_close_matches(tap, [*module.tap_names, *(name for name, _ in root.named_modules())], n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{hint}take one of {', '.join(module.tap_names) or '(no aliases)'}, or a module path, `:in` for its input"


@contextmanager
def watched(module: SegmentationModule, taps: Collection[str], on_fire: OnFire) -> Generator[None]:
    """Call `on_fire` whenever a tensor passes one of the taps; no hook stays behind, whatever happens.

    Raises:
        UserError: if a tap does not exist or carries no tensor.
    """
    with ExitStack() as stack:
        for tap in taps:
            target, is_input = find_position(module, tap)
            if is_input:
                handle = target.register_forward_pre_hook(_input_hook(tap, on_fire))
            else:
                handle = target.register_forward_hook(_output_hook(tap, on_fire))
            stack.callback(handle.remove)
        yield


@contextmanager
def recorded(module: SegmentationModule, taps: Collection[str]) -> Generator[dict[str, Tensor]]:
    """The tensors at these taps, filled in as the forward runs, with their graph and in at least float32."""
    features: dict[str, Tensor] = {}

    def record(tap: str, value: Tensor) -> None:
        promoted = at_least_float32(value)
        features[tap] = value.clone() if promoted is value else promoted

    with watched(module, taps, record):
        yield features


@contextmanager
def inserted(module: SegmentationModule, insertions: Mapping[str, nn.Module]) -> Generator[None]:
    """Put a module into the path at each tap, as teacher adaptation does; taken out again at the end."""
    with watched(module, insertions, lambda tap, value: insertions[tap](value)):
        yield


def _input_hook(tap: str, on_fire: OnFire) -> Callable[[nn.Module, tuple[object, ...]], tuple[object, ...] | None]:
    def hook(_: nn.Module, arguments: tuple[object, ...]) -> tuple[object, ...] | None:
        replacement = on_fire(tap, _tensor(tap, arguments[0] if arguments else None))
        return None if replacement is None else (replacement, *arguments[1:])

    return hook


def _output_hook(tap: str, on_fire: OnFire) -> Callable[[nn.Module, tuple[object, ...], object], Tensor | None]:
    def hook(_: nn.Module, __: tuple[object, ...], output: object) -> Tensor | None:
        return on_fire(tap, _tensor(tap, output))

    return hook


def _tensor(tap: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise UserError(
            f"expected a tensor at the tap {tap!r}, got {type(value).__name__}",
            remedy="name a module inside it whose output is one feature map",
        )
    return value
