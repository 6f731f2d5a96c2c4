"""Measure what a network is by one small forward that leaves no trace: strides, channels, closing norms, dropouts.

The dry run is in eval mode, without gradient and outside autocast; the mode of every single module and the random
streams are put back. Which module made the logits, and which dropout it read, is decided by the identity of tensors,
not by names. Cost: one forward of a 64x64 image, once.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from foglight.models.segmentation_module import SegmentationModule
from foglight.models.taps import INPUT_SUFFIX, position_of
from foglight.types import DropoutInfo, TapInfo

Dropout = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d
_BATCH_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_CLASSIFIERS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
# The projection of a residual block runs after the norm that closes the block, and is not that norm.
_SHORTCUTS: Final = ("downsample", "shortcut")


@final
@dataclass(frozen=True)
class DropoutPath:
    """The dropouts between image and logits, whatever their rate; auxiliary heads are not on that path.

    Attributes:
        dropouts: module paths in order of execution.
        classifier: path of the module whose output is the logits; None where a later operation made them.
        feeding: path of the dropout whose output the classifier reads; None where it reads something else.
    """

    dropouts: tuple[str, ...]
    classifier: str | None
    feeding: str | None

    def active(self, module: nn.Module) -> tuple[DropoutInfo, ...]:
        """Those with a rate above zero now."""
        found: list[DropoutInfo] = []
        for name in self.dropouts:
            rate = find_dropout(module, name).p
            if rate > 0:
                found.append(DropoutInfo(name, rate, feeds_classifier=name == self.feeding))
        return tuple(found)


@final
class TapTable(Mapping[str, TapInfo]):
    """Every position that fired can be looked up; only the listed taps are counted and named, so messages stay short.

    Args:
        module: whose aliases are listed, and from whose root paths are named.
        fired: full position to what was found there, in order of execution.
        listed: further taps to list.
    """

    def __init__(self, module: SegmentationModule, fired: Mapping[str, TapInfo], listed: tuple[str, ...] = ()) -> None:
        self._positions = {tap: position_of(module, tap) for tap in (*module.tap_names, *listed)}
        self._root = f"{module.tap_root}." if module.tap_root else ""
        self._fired = fired
        order = {position: index for index, position in enumerate(fired)}
        known = [tap for tap, position in self._positions.items() if position in order]
        self._listed = sorted(known, key=lambda tap: order[self._positions[tap]])

    def __getitem__(self, tap: str) -> TapInfo:
        return self._fired[self._positions.get(tap, self._root + tap)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


@final
@dataclass(frozen=True)
class Measured:
    """What one dry run found.

    Attributes:
        logits: their shape, "1 k *grid".
        fired: position (module path, `:in` for its input) to what passed there, in order of execution.
        path: of the dropouts.
    """

    logits: torch.Size
    fired: dict[str, TapInfo]
    path: DropoutPath


def find_dropout(module: nn.Module, name: str) -> Dropout:
    """The dropout of that path.

    Raises:
        ValueError: if another module stands there by now.
    """
    found = module.get_submodule(name)
    if not isinstance(found, Dropout):
        raise ValueError(
            f"expected a dropout at {name!r}, got {type(found).__name__}; build a new Network after surgery"
        )
    return found


def measure(module: SegmentationModule, size: tuple[int, int]) -> Measured:
    """Run `module` once on a black image of that height and width in pixels."""
    reference = next(iter(module.parameters()), torch.zeros(()))
    image = torch.zeros(1, 3, *size, dtype=reference.dtype, device=reference.device)
    extra = image.new_zeros(1, module.extra_channels, *size) if module.extra_channels else None
    fired: dict[str, TapInfo] = {}
    with ExitStack() as stack:
        stack.enter_context(_untouched(module, reference.device))
        calls = stack.enter_context(_traced(module))

        def describe(position: str, value: object) -> None:
            if isinstance(value, Tensor) and value.ndim >= 2:
                norm = _closing_batch_norm(calls, value.shape[1])
                fired.pop(position, None)  # the last run counts, and stands last in the order
                fired[position] = TapInfo(value.shape[1], _stride(size, value.shape), norm)

        stack.enter_context(_listening(module, describe))
        logits, _ = module(image, extra, auxiliary=False)
    return Measured(logits.shape, fired, _dropout_path(calls, logits))


@contextmanager
def _listening(module: nn.Module, describe: Callable[[str, object], None]) -> Generator[None]:
    def reads(name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        return lambda _, arguments: describe(name + INPUT_SUFFIX, arguments[0]) if arguments else None

    def makes(name: str) -> Callable[[nn.Module, object, object], None]:
        return lambda _, __, output: describe(name, output)

    with ExitStack() as stack:
        for name, part in module.named_modules():
            stack.callback(part.register_forward_pre_hook(reads(name)).remove)
            stack.callback(part.register_forward_hook(makes(name)).remove)
        yield


def _stride(size: tuple[int, int], shape: torch.Size) -> int:
    return round(size[0] / shape[2]) if len(shape) > 2 else 0


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    read: object
    made: object = field(repr=False)


@contextmanager
def _traced(module: nn.Module) -> Generator[list[_Call]]:
    calls: list[_Call] = []

    def hook_for(name: str) -> Any:
        def hook(target: nn.Module, arguments: tuple[object, ...], output: object) -> object:
            # In eval a dropout hands on its very input: a view tells reading its output from reading its input.
            made = output.view_as(output) if isinstance(target, Dropout) and isinstance(output, Tensor) else output
            calls.append(_Call(name, target, arguments[0] if arguments else None, made))
            return made

        return hook

    with ExitStack() as stack:
        for name, target in module.named_modules():
            if isinstance(target, Dropout) or any(True for _ in target.parameters(recurse=False)):
                stack.callback(target.register_forward_hook(hook_for(name)).remove)
        yield calls


def _dropout_path(calls: list[_Call], logits: Tensor) -> DropoutPath:
    names = dict.fromkeys(call.name for call in calls if isinstance(call.module, Dropout))
    for call in reversed(calls):
        if call.made is logits and isinstance(call.module, _CLASSIFIERS):
            feeding = next((one for one in calls if isinstance(one.module, Dropout) and one.made is call.read), None)
            return DropoutPath(tuple(names), call.name, feeding.name if feeding else None)
    return DropoutPath(tuple(names), None, None)


def _closing_batch_norm(calls: list[_Call], channels: int) -> tuple[Tensor, Tensor] | None:
    for call in reversed(calls):
        if isinstance(call.module, Dropout) or any(part in _SHORTCUTS for part in call.name.split(".")):
            continue
        norm = call.module
        if isinstance(norm, _BATCH_NORMS) and norm.affine and norm.num_features == channels:
            return norm.weight.detach().clone(), norm.bias.detach().clone()
        return None
    return None


@contextmanager
def _untouched(module: nn.Module, device: torch.device) -> Generator[None]:
    training = [part for part in module.modules() if part.training]
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False), torch.random.fork_rng(devices=cuda):
            module.eval()
            yield
    finally:
        # One by one: a user may have put single modules, a frozen BatchNorm say, into eval.
        for part in training:
            part.training = True
