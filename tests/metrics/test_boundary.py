"""Are rims found as by erosion of every class's mask, and does ignoring make none?"""

import numpy as np
import torch

from foglight.metrics.boundary import boundary_counts, boundary_iou, boundary_width, near_border
from metrics import brute


def blobs(seed: int) -> torch.Tensor:
    coarse = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (20, 30), mode="bilinear").argmax(1)


def test_boundary_iou_equals_erosion_of_each_mask() -> None:
    prediction, label = blobs(0), blobs(1)
    for share in (0.02, 0.07):
        distance = boundary_width(20, 30, share=share)
        counts = boundary_counts(prediction, label, num_classes=4, ignore_index=255, share=share)
        for cls in range(3):
            pairs = [
                (brute.rim(p == cls, distance), brute.rim(t == cls, distance))
                for p, t in zip(prediction.numpy(), label.numpy(), strict=True)
            ]
            intersection, union = sum((p & t).sum() for p, t in pairs), sum((p | t).sum() for p, t in pairs)
            assert counts[:, cls].tolist() == [intersection, union]
        assert boundary_iou(counts)[3].isnan()


def test_ignored_pixels_neither_count_nor_make_a_rim() -> None:
    label = torch.zeros(1, 21, 21, dtype=torch.int64)
    label[0, 8:13, 8:13] = 255
    prediction = torch.zeros_like(label)
    prediction[0, 8:13, 8:13] = 1
    counts = boundary_counts(prediction, label, num_classes=2, ignore_index=255)
    edge = 21 * 21 - 19 * 19
    assert counts.tolist() == [[edge, 0], [edge, 0]]


def test_near_border_is_the_chebyshev_distance_to_another_class() -> None:
    label = blobs(2)[:1]
    near = near_border(label, label >= 0, distance=2, image_edge=False)[0].numpy()
    values = label[0].numpy()
    for row, column in np.ndindex(*values.shape):
        window = values[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        assert near[row, column] == (window != values[row, column]).any()


def test_perfect_prediction_scores_one_even_in_tiny_images() -> None:
    label = torch.tensor([[[0, 1], [1, 0]]])
    assert boundary_iou(boundary_counts(label, label, num_classes=2, ignore_index=255)).tolist() == [1, 1]
