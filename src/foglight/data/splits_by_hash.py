"""Splits that nobody published, made from the names alone: the same on every machine, for ever.

Names are ordered by the BLAKE2b hash of their UTF-8 bytes (8 bytes of digest, no key); the first ones of that order are
held out. No random state is involved, so a name that is added or lost moves no other name by more than one place. The
digest of a list (SHA-256 of its sorted names, one per line) is printed with the split: two people who see the same
digest have the same frames.
"""

import hashlib
from collections.abc import Sequence

DIGEST_CHARACTERS = 12


def hash_order(names: Sequence[str]) -> tuple[str, ...]:
    """The names in the order of their hashes, each once.

    >>> hash_order(["a", "b", "c"])
    ('c', 'a', 'b')
    """
    return tuple(sorted(set(names), key=lambda name: (_hash(name), name)))


def first_by_hash(names: Sequence[str], count: int) -> tuple[str, ...]:
    """So many names, the first in the order of their hashes, sorted.

    Raises:
        ValueError: if there are fewer names than asked for.
    """
    order = hash_order(names)
    if not 0 <= count <= len(order):
        raise ValueError(f"expected a count of 0..{len(order)}, got {count}")
    return tuple(sorted(order[:count]))


def list_digest(names: Sequence[str]) -> str:
    """The first characters of the SHA-256 of the sorted names, one per line.

    >>> list_digest(["b", "a"]) == list_digest(["a", "b"])
    True
    """
    text = "".join(f"{name}\n" for name in sorted(names))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
