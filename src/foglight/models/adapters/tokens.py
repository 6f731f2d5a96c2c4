"""Token maps of vision transformers as feature maps.

    (b, p + n, c) -> (b, c, h, w),    n = h * w

Symbols: p prefix tokens (class token and registers, by the model's configuration), which stand for no place and are
dropped; n patches in row order. Cost: a view.
"""

from jaxtyping import Float
from torch import Tensor


def fold_tokens(tokens: Float[Tensor, "b n c"], grid: tuple[int, int], *, prefix: int) -> Float[Tensor, "b c h w"]:
    """A token map folded to its grid.

    Args:
        tokens: prefix tokens first.
        grid: rows and columns of patches.
        prefix: how many tokens stand for no place.

    Raises:
        ValueError: if the tokens are not as many as the prefix and the grid have.

    >>> import torch
    >>> fold_tokens(torch.arange(5.0).view(1, 5, 1), (2, 2), prefix=1)[0, 0]
    tensor([[1., 2.],
            [3., 4.]])
    """
    rows, columns = grid
    if tokens.shape[1] != prefix + rows * columns:
        raise ValueError(f"expected {prefix} + {rows} x {columns} tokens, got {tokens.shape[1]}")
    return tokens[:, prefix:].transpose(1, 2).unflatten(2, (rows, columns))
