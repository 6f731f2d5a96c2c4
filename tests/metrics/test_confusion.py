"""Are the scores of the confusion matrix those of the literature, also for absent classes and ignored pixels?"""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

from foglight.metrics.confusion import (
    class_accuracy,
    confusion_matrix,
    f1_score,
    frequency_weighted,
    intersection_over_union,
    mean_over_classes,
    pixel_accuracy,
)
from metrics import brute

IGNORE = 255


@pytest.fixture
def maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randint(0, 4, (3, 9, 7), generator=generator)
    label = torch.where(torch.rand(3, 9, 7, generator=generator) < 0.5, prediction, torch.randint(0, 4, (3, 9, 7)))
    label[torch.rand(3, 9, 7, generator=generator) < 0.2] = IGNORE
    return prediction, label


def test_scores_by_class_equal_brute_force(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    prediction, label = maps
    confusion = confusion_matrix(prediction, label, num_classes=5, ignore_index=IGNORE)
    expected = np.array([brute.iou(prediction.numpy(), label.numpy(), cls) for cls in range(5)])
    assert confusion.dtype == torch.int64
    assert np.isnan(expected[4])
    np.testing.assert_allclose(intersection_over_union(confusion), expected, rtol=1e-12)
    np.testing.assert_allclose(f1_score(confusion), 2 * expected / (1 + expected), rtol=1e-12)
    valid = label != IGNORE
    recall = [float((prediction == c)[valid & (label == c)].double().mean()) for c in range(4)]
    np.testing.assert_allclose(class_accuracy(confusion)[:4], recall, rtol=1e-12)
    right = (prediction == label)[valid].double().mean()
    torch.testing.assert_close(pixel_accuracy(confusion), right)


def test_means_equal_torchmetrics(maps: tuple[torch.Tensor, torch.Tensor]) -> None:
    prediction, label = maps
    confusion = confusion_matrix(prediction, label, num_classes=4, ignore_index=IGNORE)
    for ours, theirs in (
        (mean_over_classes(intersection_over_union(confusion)), MulticlassJaccardIndex(4, ignore_index=IGNORE)),
        (mean_over_classes(f1_score(confusion)), MulticlassF1Score(4, average="macro", ignore_index=IGNORE)),
        (
            frequency_weighted(intersection_over_union(confusion), confusion),
            MulticlassJaccardIndex(4, average="weighted", ignore_index=IGNORE),
        ),
        (
            frequency_weighted(f1_score(confusion), confusion),
            MulticlassF1Score(4, average="weighted", ignore_index=IGNORE),
        ),
    ):
        torch.testing.assert_close(ours.float(), theirs(prediction, label))


def test_absent_is_neither_labelled_nor_predicted() -> None:
    confusion = torch.tensor([[3, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]])
    iou = intersection_over_union(confusion)
    assert iou[1] == 0
    assert iou[3].isnan()
    assert class_accuracy(confusion)[1].isnan()
    torch.testing.assert_close(mean_over_classes(iou).item(), (0.75 + 0 + 1) / 3)
    torch.testing.assert_close(mean_over_classes(iou, absent="zero").item(), (0.75 + 0 + 1 + 0) / 4)


def test_counts_stay_exact_where_float32_loses_single_pixels() -> None:
    confusion = torch.tensor([[2**24, 1], [0, 2**24]])
    assert confusion.sum().item() == 2**25 + 1
    assert pixel_accuracy(confusion).item() == 2**25 / (2**25 + 1)


@pytest.mark.parametrize("wrong", [7, -1])
def test_a_label_that_is_no_class_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"labels in 0..2, got {wrong}"):
        confusion_matrix(torch.zeros(2).long(), torch.tensor([0, wrong]), num_classes=3, ignore_index=IGNORE)
