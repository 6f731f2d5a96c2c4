"""Run a network again from its first dropout on, without computing anything before it a second time.

While one forward is watched, the outputs of the outermost modules that finished before the dropout are kept. In a
replay those modules hand out what they made then; whatever was still running (the network's own `forward`, the head,
a sequence around the dropout) runs as usual. So it needs nothing of a network but that its parts are modules, and is
bit-identical to a whole forward wherever that one would have computed the same prefix.

Cost: two hooks on every module while watching; the kept outputs stay alive until the replays are over.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any, final

from torch import Tensor, nn


@final
class Memory:
    """What the outermost finished modules made, in order.

    Args:
        until: the module at whose start remembering stops.
    """

    def __init__(self, until: nn.Module) -> None:
        self._until = until
        self._stopped = False
        # One list per module that is still running, outermost first; the first belongs to the network itself.
        self._open: list[list[_Kept]] = [[]]

    def usable(self) -> bool:
        """Whether a replay is exact.

        Not so when the dropout never ran, nor when a plain in-place operation (`out += shortcut`) has overwritten a
        kept output: replayed, it would apply twice.
        """
        return self._stopped and all(kept.intact() for kept in self._kept())

    @contextmanager
    def watching(self, module: nn.Module) -> Generator[None]:
        """Remember the one forward that happens inside."""
        with ExitStack() as stack:
            for part in module.modules():
                if part is not module:
                    stack.callback(part.register_forward_pre_hook(self._starts).remove)
                    stack.callback(part.register_forward_hook(self._ends).remove)
            yield

    @contextmanager
    def replaying(self) -> Generator[None]:
        """Inside, one forward hands out the kept outputs."""
        outputs: dict[nn.Module, deque[Any]] = {}
        for kept in self._kept():
            outputs.setdefault(kept.module, deque()).append(kept.output)
        with ExitStack() as stack:
            for part, queue in outputs.items():
                stack.enter_context(_forward_replaced(part, queue))
            yield

    def _kept(self) -> Iterable["_Kept"]:
        return (kept for frame in self._open for kept in frame)

    def _starts(self, part: nn.Module, _: tuple[object, ...]) -> None:
        if self._stopped:
            return
        for kept in self._open[-1]:
            kept.check()
        if part is self._until:
            self._stopped = True
        else:
            self._open.append([])

    def _ends(self, part: nn.Module, _: tuple[object, ...], output: Any) -> None:
        if self._stopped:
            return
        self._open.pop()
        new = _Kept(part, output)
        for kept in self._open[-1]:
            kept.overwritten_by(new)
        self._open[-1].append(new)


@final
class _Kept:
    """One module's output, and whether it is still what the module made."""

    def __init__(self, module: nn.Module, output: Any) -> None:
        self.module = module
        self.output = output
        self._tensors = list(_tensors(output))
        self._versions = self._current()
        # Inference tensors count no versions, so that nothing can be said of them.
        self._stale = any(tensor.is_inference() for tensor in self._tensors)

    def check(self) -> None:
        self._stale = self._stale or self._versions != self._current()

    def intact(self) -> bool:
        self.check()
        return not self._stale

    def overwritten_by(self, later: "_Kept") -> None:
        """An in-place module (a ReLU) hands on this very tensor: that module is replayed too, so nothing is lost."""
        if any(mine is theirs for mine in self._tensors for theirs in later._tensors):
            self._versions = self._current()

    def _current(self) -> list[int]:
        return [one._version for one in self._tensors if not one.is_inference()]  # pyright: ignore[reportPrivateUsage]


def _tensors(output: Any) -> Generator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, Sequence) and not isinstance(output, str):
        for value in output:
            yield from _tensors(value)


@contextmanager
def _forward_replaced(part: nn.Module, outputs: deque[Any]) -> Generator[None]:
    own = vars(part).get("forward")  # somebody else may have put one on the instance
    computed: Callable[..., Any] = part.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        if not outputs:
            return computed(*arguments, **options)
        output = outputs.popleft()
        return output if isinstance(output, Tensor) else copy(output)  # the consumer may pop from a list

    part.forward = forward
    try:
        yield
    finally:
        if own is None:
            del part.forward
        else:
            part.forward = own
