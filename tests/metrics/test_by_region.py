"""Are a region's scores those of its pixels, and is what nobody measured in no region?"""

import pytest
import torch

from foglight.metrics.by_region import CLEAR, LIMIT, NEAR, RegionMetrics, crossed, depth_regions, fog_regions, metres
from foglight.metrics.segmentation import SegmentationMetrics

CLASSES = ("road", "car", "sky")


def draw(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 6, 8, generator=generator)
    label = torch.randint(0, 3, (2, 6, 8), generator=generator)
    return logits, label, 2 * LIMIT * torch.rand(2, 6, 8, generator=generator) ** 2


def test_a_region_scores_as_if_there_were_no_other_pixels() -> None:
    logits, label, depth = draw()
    regions = depth_regions(depth)
    metrics = RegionMetrics(("near", "far"), class_names=CLASSES)
    metrics.update(logits, label, regions)
    for name, scores in metrics.compute().items():
        alone = SegmentationMetrics(3, class_names=CLASSES, boundary=False)
        inside = regions[name]
        assert 0 < int(inside.sum()) < inside.numel()
        # The pixels of the region in a row, as an image of their own.
        row = logits.permute(0, 2, 3, 1)[inside].T[None, :, None]
        alone.update(row, label[inside][None, None])
        assert scores.miou == alone.compute().miou
        assert scores.pixels == int(inside.sum())


def test_ignored_pixels_stay_ignored() -> None:
    logits, label, _ = draw()
    label[0] = 255
    metrics = RegionMetrics(("all",), class_names=CLASSES)
    metrics.update(logits, label, {"all": torch.ones_like(label, dtype=torch.bool)})
    assert metrics.compute()["all"].pixels == label[1].numel()


def test_the_sky_and_holes_are_in_no_region_and_the_rest_in_one_of_each() -> None:
    _, _, depth = draw()
    depth[0, 0, :2] = torch.tensor([0.0, LIMIT])
    near, clear = depth_regions(depth), fog_regions(depth, torch.tensor([0.01, 0.05]))
    counted = (depth > 0) & (depth < LIMIT)
    for parts in (near, clear, crossed(near, clear)):
        assert torch.equal(sum(mask.int() for mask in parts.values()), counted.int())
    assert not counted[0, 0, :2].any()


def test_fog_is_what_takes_half_of_the_light() -> None:
    beta = 0.02
    half = -torch.log(torch.tensor(CLEAR)) / beta
    depth = torch.tensor([[[half - 0.1, half + 0.1]], [[half - 0.1, half + 0.1]]])
    # Twice the fog on the second image: both pixels lie beyond its half.
    foggy = fog_regions(depth, torch.tensor([beta, 2 * beta]))["foggy"]
    assert foggy.flatten().tolist() == [False, True, True, True]


def test_depth_and_its_inverse_give_the_same_regions() -> None:
    _, _, depth = draw()
    depth[0, 0, 0] = 0.0
    inverse = torch.where(depth > 0, 1 / depth, 0.0)
    channels = torch.stack([torch.zeros_like(depth), inverse], dim=1)
    torch.testing.assert_close(metres(channels, ("other", "inverse_depth")), depth)
    torch.testing.assert_close(metres(depth[:, None], ("depth",)), depth)


def test_what_gives_no_region_is_refused() -> None:
    logits, label, depth = draw()
    with pytest.raises(ValueError, match="got disparity"):
        metres(depth[:, None], ("disparity",))
    with pytest.raises(ValueError, match="near < limit"):
        depth_regions(depth, near=NEAR, limit=NEAR)
    metrics = RegionMetrics(("near",), class_names=CLASSES)
    with pytest.raises(ValueError, match="expected the regions"):
        metrics.update(logits, label, depth_regions(depth))
    # jaxtyping, which stands over the tests alone, refuses it first.
    with pytest.raises((ValueError, TypeError)):
        metrics.update(logits, label, {"near": torch.ones(2, 6, 1, dtype=torch.bool)})
