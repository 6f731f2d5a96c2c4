"""Problems with a user's files, gathered instead of raised one at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, final

from foglight.errors import UserError

ProblemKind = Literal["classes", "folder", "unmatched", "unreadable", "size", "value", "split"]
T = TypeVar("T")


@final
@dataclass(frozen=True)
class Problem:
    """Something that a user must mend.

    Attributes:
        kind: what sort of problem.
        text: names the file and the value.
        remedy: what to do.
    """

    kind: ProblemKind
    text: str
    remedy: str


def attempt(kind: ProblemKind, action: Callable[[], T], problems: list[Problem]) -> T | None:
    """The action's result; or None, with what was wrong added to `problems`."""
    try:
        return action()
    except UserError as error:
        problems.append(Problem(kind, error.problem, error.remedy))
        return None
