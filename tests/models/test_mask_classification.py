"""Are queries with classes and masks the per-pixel distribution that they say they are?"""

import torch

from foglight.models.adapters.mask_classification import pixel_log_probability


def test_it_is_the_literal_sum_over_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    classes, masks = torch.randn(2, 7, 5, generator=generator), torch.randn(2, 7, 3, 4, generator=generator)
    literal = torch.einsum("bqc,bqhw->bchw", classes.softmax(-1)[..., :-1], masks.sigmoid())
    torch.testing.assert_close(pixel_log_probability(classes, masks).exp(), literal / literal.sum(1, keepdim=True))


def test_masks_that_are_off_everywhere_stay_finite() -> None:
    """No query claims the pixel: the literal sum is 0 / 0 there."""
    classes, masks = torch.randn(1, 3, 4), torch.full((1, 3, 2, 2), -500.0)
    values = pixel_log_probability(classes.half(), masks.half())
    assert values.dtype == torch.float32
    assert torch.isfinite(values).all()
    torch.testing.assert_close(values.exp().sum(1), torch.ones(1, 2, 2))
