"""What IFVD must keep in the limit, and that it is the published loop over classes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from foglight.losses.relations.ifvd import IFVD, similarity_to_class_mean
from foglight.types import Batch
from parity.inputs import batch, info, output

CLASSES = 4
LOGITS = torch.zeros(2, CLASSES, 6, 8, dtype=torch.float64)


def feature(channels: int, *, seed: int = 0) -> Tensor:
    return torch.randn(2, channels, 6, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(*, ignored: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    label = torch.randint(CLASSES - 1, (2, 6, 8), generator=generator)  # the last class is in no image
    return torch.where(torch.rand(label.shape, generator=generator) < ignored, 255, label)


def value(student: Tensor, teacher: Tensor, given: Batch, *, exclude_ignored: bool = False) -> Tensor:
    ours, theirs = {"head": student}, {"head": teacher}
    loss = IFVD(info(LOGITS, ours), info(LOGITS, theirs), exclude_ignored=exclude_ignored)
    return loss(output(LOGITS, ours), output(LOGITS, theirs), given)["ifvd"]


def loop(student: Tensor, teacher: Tensor, label: Tensor) -> Tensor:
    """The equation, class by class and image by image, over every position."""
    similarities = []
    for values in (student, teacher):
        centres = []
        for image, classes in zip(values, label, strict=True):
            centre = image
            for k in range(CLASSES):
                inside = (classes == k).to(image.dtype)
                mean = (image * inside).sum((1, 2)) / (inside.sum() + 1e-6)
                centre = torch.where(classes == k, mean[:, None, None], centre)
            centres.append(centre)
        similarities.append(F.cosine_similarity(values, torch.stack(centres), dim=1))
    return (similarities[0] - similarities[1]).square().mean()


def test_one_product_gives_what_a_loop_over_classes_gives() -> None:
    student, teacher, label = feature(5).requires_grad_(), feature(7, seed=1), labels()
    ours, expected = value(student, teacher, batch(2, label=label)), loop(student, teacher, label)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, student), torch.autograd.grad(expected, student))


def test_a_rotated_and_rescaled_feature_varies_as_the_teacher_does() -> None:
    student = feature(5).requires_grad_()
    rotation, _ = torch.linalg.qr(feature(5)[0, :, :5, 0])
    teacher = 3 * torch.einsum("dc,bchw->bdhw", rotation, student.detach())
    same = value(student, teacher, batch(2, label=labels()))
    (gradient,) = torch.autograd.grad(same, student)
    assert same < 1e-28
    assert gradient.abs().max() < 1e-15


def test_equal_vectors_lie_at_the_mean_of_their_class() -> None:
    label, vectors = labels(ignored=0.0), torch.eye(CLASSES, dtype=torch.float64)
    painted = vectors[label].permute(0, 3, 1, 2)
    similarity = similarity_to_class_mean(painted, label, torch.ones_like(label, dtype=torch.bool), classes=CLASSES)
    torch.testing.assert_close(similarity, torch.ones(2, 6, 8, dtype=torch.float64))


def test_ignored_positions_only_dilute_the_mean() -> None:
    label = labels()
    everywhere, labelled = (
        value(feature(5), feature(7, seed=1), batch(2, label=label), exclude_ignored=exclude)
        for exclude in (False, True)
    )
    torch.testing.assert_close(everywhere, labelled * (label != 255).double().mean())


def test_an_image_without_label_is_ignored_ground() -> None:
    label, given = labels(), batch(2, label=labels())
    unlabelled = Batch(given.image, label=label, labelled=torch.tensor([True, False]))
    covered = torch.where(torch.tensor([True, False])[:, None, None], label, 255)
    student, teacher = feature(5), feature(7, seed=1)
    torch.testing.assert_close(value(student, teacher, unlabelled), value(student, teacher, batch(2, label=covered)))


def test_a_position_where_nothing_fires_gets_no_gradient() -> None:
    student = feature(5)
    student[:, :, 2, 3] = 0
    student.requires_grad_()
    total = value(student, feature(7, seed=1), batch(2, label=labels(ignored=0.0)))
    (gradient,) = torch.autograd.grad(total, student)
    elsewhere = gradient.abs().amax()
    assert gradient[:, :, 2, 3].abs().amax() <= elsewhere < 1


def test_the_label_is_read_at_the_pixel_that_a_position_begins_with() -> None:
    label = labels()
    fine = torch.full((2, 24, 32), 255)
    fine[:, ::4, ::4] = label
    student, teacher = feature(5), feature(7, seed=1)
    torch.testing.assert_close(
        value(student, teacher, batch(2, label=fine)), value(student, teacher, batch(2, label=label))
    )
