"""How a long piece of work tells a person where it is."""

from collections.abc import Mapping
from typing import Protocol, final, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """What a terminal, a notebook or nobody listens with."""

    def begin(self, title: str, *, total: int, done: int) -> None:
        """A stage of `total` units begins, `done` of which are already behind."""
        ...

    def advance(self, done: int, figures: Mapping[str, float]) -> None:
        """`done` units are behind; `figures` are the latest loss terms."""
        ...

    def note(self, text: str) -> None:
        """A sentence that a person should see."""
        ...

    def end(self) -> None:
        """The stage is over."""
        ...


@final
class Silent:
    """Nobody listens."""

    def begin(self, title: str, *, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self, done: int, figures: Mapping[str, float]) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""
