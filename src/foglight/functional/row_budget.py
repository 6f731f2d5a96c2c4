"""How many rows of a matrix are worked on at once, from a stated amount of memory.

rows = max(1, BUDGET / (columns * bytes per number * matrices held at once))

Cost: none; it bounds that of others.
"""

from typing import Final

# Bytes. Strips stay near the size of a processor's cache, and matrix products of hundreds of rows run at full speed.
BUDGET: Final = 32 * 2**20


def rows_within_budget(columns: int, *, bytes_per_number: int, matrices: int, budget: int = BUDGET) -> int:
    """Rows of a strip; at least one, however long a row is.

    Args:
        columns: of a row.
        bytes_per_number: 4 for float32.
        matrices: strips of this shape that are alive at the same time.
        budget: bytes for all of them.

    >>> rows_within_budget(8192, bytes_per_number=4, matrices=3)
    341
    """
    return max(1, budget // max(1, columns * bytes_per_number * matrices))
