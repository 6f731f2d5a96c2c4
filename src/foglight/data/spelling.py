"""What a user probably meant."""

import difflib
from collections.abc import Collection


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A suggestion with the nearest known word, or the list of all of them.

    >>> did_you_mean("fogtwon", ["camvid", "fogtown"])
    "did you mean 'fogtown'? Known: camvid, fogtown"
    """
    near = difflib.get_close_matches(word, known, n=1)
    listing = f"known: {', '.join(sorted(known)) or '(none)'}"
    return f"did you mean {near[0]!r}? {listing.capitalize()}" if near else listing
