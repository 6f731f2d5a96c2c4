"""What a user probably meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question, or nothing where no known word is near.

    >>> did_you_mean("fogtwon", ["camvid", "fogtown"]), did_you_mean("x", ["camvid"])
    ("did you mean 'fogtown'?", '')
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def known_words(word: str, known: Iterable[str]) -> str:
    """The same question, and all that may be said.

    >>> known_words("fogtwon", ["camvid", "fogtown"])
    "did you mean 'fogtown'? Known: camvid, fogtown"
    """
    known = sorted(known)
    question = did_you_mean(word, known)
    listing = ", ".join(known) or "(none)"
    return f"{question} Known: {listing}" if question else f"known: {listing}"
