"""What a user is told when something cannot be done: one line that names the place, the value and the remedy."""

from typing import Final, final

EXIT_CODE: Final = 2


class UserError(Exception):
    """A mistake that the user can mend; the command line prints it as one line and exits with 2.

    Args:
        problem: what was expected and what was got, naming the file and the value.
        remedy: the option or the change that mends it.

    >>> str(UserError("masks/a.png: value 7, expected 0..4 or 255", remedy="add 7 to `ignore:`"))
    'masks/a.png: value 7, expected 0..4 or 255. To mend it: add 7 to `ignore:`'
    """

    def __init__(self, problem: str, *, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        stop = "" if problem.endswith("?") else "."
        super().__init__(f"{problem}{stop} To mend it: {remedy}")


@final
class ConfigurationError(UserError):
    """One or more wrong keys or values in a recipe; every one of them is listed."""


@final
class DataError(UserError):
    """A file of the data set that is missing, unreadable, or says something impossible."""


@final
class CheckpointError(UserError):
    """Weights that do not fit the network, or a file that must not be trusted."""


@final
class RefusedError(UserError):
    """A run that would silently distil nothing; `--allow NAME` lifts the refusal and the report records it.

    Args:
        name: the name that `--allow` takes.
        problem: what was found.
        remedy: what to change instead of lifting it.
    """

    def __init__(self, name: str, problem: str, *, remedy: str) -> None:
        self.name = name
        super().__init__(f"{problem} [{name}]", remedy=f"{remedy}, or pass `--allow {name}`")


@final
class NotFiniteError(UserError):
    """A loss term became NaN or infinite; the message names the term, the batch's files and the step."""
