"""The laws that every loss keeps; each is a function that raises AssertionError where one is broken.

A law that has nothing to say about a loss (no teacher needed, no discriminator, ...) holds.
"""

import copy
import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from foglight.losses.base import AdversarialLoss, PixelLoss, PixelMap, ReportsStatistics, TeacherAdapted
from foglight.types import Batch, ModelOutput

from .scene import CLASSES, TWINS, VECTORS, Pair, make_scene, named_tensors, perturbed_last_row
from .subject import (
    Subject,
    adaptation,
    assert_finite,
    assert_same,
    gradients,
    graph_leaves,
    owned_elsewhere,
    run,
    total,
    trained,
    update,
)

Law = Callable[[Subject], None]
# A divergence may fall this far below zero by rounding.
ROUNDING: Final = 1e-6


def check_every_leaf_has_an_owner(subject: Subject) -> None:
    loss = subject.build()
    scene = subject.scene(loss)
    student = {id(leaf) for leaf in scene.student_leaves().values()}
    registered = {id(parameter) for parameter in loss.parameters()}
    owners = [id(parameter) for parameter in [*trained(loss), *set(owned_elsewhere(loss))]]
    for leaf in graph_leaves(total(run(loss, scene))):
        if id(leaf) in student:
            continue
        assert id(leaf) in registered, f"a leaf of shape {tuple(leaf.shape)} is neither the student's nor a parameter"
        assert owners.count(id(leaf)) == 1, f"a parameter of shape {tuple(leaf.shape)} is not in exactly one group"
    for name, parameter in loss.named_parameters():
        count = owners.count(id(parameter))
        assert count == 1 or not parameter.requires_grad, f"{name} is in {count} optimiser groups"


def check_inputs_are_untouched(subject: Subject) -> None:
    loss = subject.build()
    scene = subject.scene(loss)
    assert scene.teacher is not None
    inputs = {**named_tensors(scene.student), "label": scene.batch.label, "image": scene.batch.image}
    teacher = {**named_tensors(scene.teacher), **{str(key): value for key, value in scene.teacher.sigma.items()}}
    before = {id(value): value.detach().clone() for value in [*inputs.values(), *teacher.values()]}
    total(run(loss, scene)).backward()
    for name, value in [*inputs.items(), *teacher.items()]:
        assert torch.equal(value, before[id(value)]), f"{name} was changed in place"
    for name, value in teacher.items():
        assert not value.requires_grad, f"the teacher's {name} was made to ask for a gradient"


def check_every_parameter_moves(subject: Subject) -> None:
    loss = subject.build()
    moved: set[str] = set()
    own = {id(parameter) for parameter in trained(loss)}
    for seed in range(3):
        scene = subject.scene(loss, seed=seed)
        named = {name: parameter for name, parameter in loss.named_parameters() if id(parameter) in own}
        grads = gradients(total(run(loss, scene)), named.values())
        moved |= {name for name, grad in zip(named, grads, strict=True) if grad.any()}
        update(loss, scene)
    still = {name for name, parameter in loss.named_parameters() if id(parameter) in own} - moved
    assert not still, f"no gradient ever reaches {', '.join(sorted(still))}"


def check_every_term_teaches(subject: Subject) -> None:
    loss = subject.build()
    teaching: dict[str, bool] = {}
    for seed in range(3):
        scene = subject.scene(loss, seed=seed)
        for name, value in assert_finite(loss, scene).items():
            reaches = any(grad.any() for grad in gradients(value, scene.student_leaves().values()))
            # Only what still teaches after the second batch counts: a queue may need one batch to fill.
            teaching[name] = reaches if seed else False
    for name, reaches in teaching.items():
        expected = name not in loss.card.trains_only_itself
        assert reaches == expected, f"{name}: the student's gradient is {'not ' if reaches else ''}zero"


def check_precision(subject: Subject) -> None:
    loss = subject.build()
    scene = subject.scene(loss)
    plain = run(copy.deepcopy(loss), scene)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = run(copy.deepcopy(loss), scene)
    assert all(value.dtype == torch.float32 for value in plain.values()), "expected float32 terms"
    assert_same(plain, under_autocast)
    double = make_scene(loss.requires, size=subject.size, dtype=torch.float64)
    terms = assert_finite(copy.deepcopy(loss).double(), double)
    assert all(value.dtype == torch.float64 for value in terms.values()), "expected float64 to stay float64"
    half = make_scene(loss.requires, size=subject.size, dtype=torch.bfloat16)
    terms = assert_finite(loss, half)
    assert all(value.dtype == torch.float32 for value in terms.values()), "expected half types to become float32"


def check_all_ignored(subject: Subject) -> None:
    loss = subject.build()
    scene = subject.scene(loss)
    assert scene.batch.label is not None
    assert_finite(loss, scene.with_batch(label=torch.full_like(scene.batch.label, 255)))


def check_no_label(subject: Subject) -> None:
    loss = subject.build()
    if not loss.requires.label:
        assert_finite(loss, subject.scene(loss).with_batch(label=None))


def check_no_teacher(subject: Subject) -> None:
    if not subject.build().requires.teacher:
        loss = subject.build(with_teacher=False)
        assert_finite(loss, replace(subject.scene(loss), teacher=None))


def check_one_image(subject: Subject) -> None:
    loss = subject.build()
    assert_finite(loss, subject.scene(loss, images=1))


def check_shapes(subject: Subject) -> None:
    height, width = subject.size
    for pair in (TWINS, Pair(channels=(8, 6), finer=1), Pair(channels=(6, 6), finer=4)):
        for size in ((height, width), (width + 6, height)):
            loss = subject.build(pair)
            assert_finite(loss, make_scene(loss.requires, pair=pair, size=size))


def check_extreme_logits(subject: Subject) -> None:
    loss = subject.build()
    scene = subject.scene(loss)
    assert scene.teacher is not None
    for student, teacher in ((1e4, 1.0), (1.0, 1e4), (1e4, -1e4), (0.0, 0.0)):
        logits = (student * scene.student.logits.detach()).requires_grad_()
        extreme = replace(
            scene,
            student=replace(scene.student, logits=logits),
            teacher=replace(scene.teacher, logits=teacher * scene.teacher.logits),
        )
        assert_finite(copy.deepcopy(loss), extreme)


def check_not_negative(subject: Subject) -> None:
    if not subject.keeps_divergences:
        return
    loss = subject.build()
    for seed in range(3):
        for name, value in run(loss, subject.scene(loss, seed=seed)).items():
            if name not in loss.card.may_be_negative:
                assert value >= -ROUNDING, f"{name}: expected no negative value, got {value.item()}"


def check_ignored_pixels(subject: Subject) -> None:
    """The labels of the lower two thirds are ignored; the last row of every map lies well inside."""
    loss = subject.build()
    if not loss.card.masks_ignored:
        return
    scene = subject.scene(loss)
    assert scene.batch.label is not None
    assert scene.teacher is not None
    label = scene.batch.label.clone()
    label[:, label.shape[1] // 3 :] = 255
    scene = scene.with_batch(label=label)
    changed = replace(
        scene, student=perturbed_last_row(scene.student, seed=1), teacher=perturbed_last_row(scene.teacher, seed=2)
    )
    terms, terms_changed = run(copy.deepcopy(loss), scene), run(copy.deepcopy(loss), changed)
    assert_same(terms, terms_changed, rtol=1e-5)
    before = gradients(total(terms), scene.student_leaves().values())
    after = gradients(total(terms_changed), changed.student_leaves().values())
    for name, old, new in zip(scene.student_leaves(), before, after, strict=True):
        assert not new[..., -1, :].any(), f"{name}: an ignored pixel has a gradient"
        torch.testing.assert_close(old, new, rtol=1e-4, atol=1e-6, msg=f"{name}: ignored pixels change the gradient")


def check_unlabelled_images(subject: Subject) -> None:
    """What stands in the label of an image that has none is never read."""
    loss = subject.build()
    scene = subject.scene(loss).with_batch(labelled=torch.tensor([True, False]))
    assert scene.batch.label is not None
    other = scene.batch.label.clone()
    other[1] = (other[1] + 1) % CLASSES
    terms = assert_finite(copy.deepcopy(loss), scene)
    assert_same(terms, run(copy.deepcopy(loss), scene.with_batch(label=other)))


def check_eval_leaves_state(subject: Subject) -> None:
    loss = subject.build().eval()
    before = copy.deepcopy(loss.state_dict())
    total(assert_finite(loss, subject.scene(loss))).backward()
    for name, value in loss.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} changed in eval()"


def check_state_round_trip(subject: Subject) -> None:
    loss = subject.build()
    for seed in range(2):
        update(loss, subject.scene(loss, seed=seed))
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    restored = subject.build(seed=1)
    restored.load_state_dict(torch.load(file, weights_only=True))
    scene = subject.scene(loss, seed=2)
    before, after = run(loss, scene), run(restored, scene)
    assert_same(before, after)
    leaves = scene.student_leaves().values()
    for old, new in zip(gradients(total(before), leaves), gradients(total(after), leaves), strict=True):
        assert torch.equal(old, new), "a restored loss gives another gradient"


def check_random_numbers(subject: Subject) -> None:
    """Nothing is drawn from a global stream, and the terms are a pure function of the loss, the batch and its step."""
    loss = subject.build()
    scene = subject.scene(loss, seed=3)
    again = copy.deepcopy(loss)
    before = torch.get_rng_state()
    terms = run(loss, scene)
    assert torch.equal(torch.get_rng_state(), before), "torch's global random stream was used"
    with other_global_streams():
        assert_same(terms, run(again, scene))


@contextmanager
def other_global_streams() -> Iterator[None]:
    """Other seeds for every global stream; a state cannot be compared where the type checker draws from it as well."""
    own, numpy_own = random.getstate(), np.random.get_state()  # noqa: NPY002 - the stream that must not be used
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1234)
        random.seed(1234)
        np.random.seed(1234)  # noqa: NPY002
        yield
    random.setstate(own)
    np.random.set_state(numpy_own)  # noqa: NPY002


def check_classification(subject: Subject) -> None:
    if subject.classification:
        loss = subject.build(VECTORS)
        assert_finite(loss, make_scene(loss.requires, pair=VECTORS))


def check_card(subject: Subject) -> None:
    loss = subject.build()
    card = loss.card
    for field in ("title", "equation", "source", "cost"):
        assert getattr(card, field).strip(), f"the card has no {field}"
    assert card.title.endswith("."), "the card's title is not a sentence"
    assert card.tier in ("recommended", "supported", "for comparison")
    unknown = (card.trains_only_itself | card.may_be_negative) - set(run(loss, subject.scene(loss)))
    assert not unknown, f"the card speaks of terms that are not there: {', '.join(sorted(unknown))}"


def check_unit_weight(subject: Subject) -> None:
    loss = subject.build()
    if not isinstance(loss, PixelLoss):
        return

    def one(term: str, pixel_map: PixelMap, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> Tensor:
        return torch.ones_like(pixel_map.values[:, :1])

    scene = subject.scene(loss)
    plain = run(copy.deepcopy(loss), scene)
    weighted = copy.deepcopy(loss).weighted(scene.student, scene.teacher, scene.batch, one)
    assert_same(plain, weighted)
    leaves = scene.student_leaves().values()
    for left, right in zip(gradients(total(plain), leaves), gradients(total(weighted), leaves), strict=True):
        assert torch.equal(left, right), "a weight of one changes the gradient"


def check_statistics(subject: Subject) -> None:
    loss = subject.build()
    if not isinstance(loss, ReportsStatistics):
        return
    assert not loss.statistics().values, "expected no figures before the first forward"
    again = copy.deepcopy(loss)
    for seed in range(2):
        scene = subject.scene(loss, seed=seed)
        terms, quiet = run(loss, scene), run(again, scene)
        figures = loss.statistics().values
        assert figures, "expected figures after a forward"
        assert all(np.isfinite(value) for value in figures.values()), "expected finite figures"
        assert_same(terms, quiet)


def check_discriminator(subject: Subject) -> None:
    loss = subject.build()
    if not isinstance(loss, AdversarialLoss):
        return
    scene = subject.scene(loss)
    assert scene.teacher is not None
    value = loss.discriminator_loss(scene.student.detach(), scene.teacher, scene.batch)
    own = {id(parameter) for parameter in loss.discriminator.parameters()}
    leaves = graph_leaves(value)
    assert leaves, "the discriminator's loss has no graph"
    assert all(id(leaf) in own for leaf in leaves), "the discriminator's loss reaches something else"
    grads = gradients(value, list(loss.discriminator.parameters()))
    assert all(torch.isfinite(grad).all() for grad in grads), "expected finite gradients on the discriminator"
    assert any(grad.any() for grad in grads), "no gradient reaches the discriminator"


def check_adaptation(subject: Subject) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = subject.construct(Pair().student, Pair().teacher)
    if not isinstance(loss, TeacherAdapted):
        return
    assert loss.adapt_steps > 0
    own = {id(parameter) for parameter in loss.adapt_modules.parameters()}
    assert own <= {id(parameter) for parameter in loss.parameters()}, "an adapted module is not a module of the loss"
    start = {name: parameter.detach().clone() for name, parameter in loss.adapt_modules.named_parameters()}
    for value in adaptation(loss, Pair()):
        assert torch.isfinite(value), "expected a finite adaptation loss"
        assert all(id(leaf) in own for leaf in graph_leaves(value)), "the adaptation reaches something else"
    still = [name for name, value in loss.adapt_modules.named_parameters() if torch.equal(value, start[name])]
    assert not still, f"the adaptation leaves {', '.join(still)} where they were"


def check_teacher_is_frozen(train: Callable[[], None], teacher: nn.Module) -> None:
    """For a whole training: the teacher's parameters and buffers are bitwise what they were, and carry no gradient."""
    before = copy.deepcopy(teacher.state_dict())
    train()
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), f"the teacher's {name} changed"
    for name, parameter in teacher.named_parameters():
        assert parameter.grad is None, f"the teacher's {name} got a gradient"


LAWS: Final[tuple[Law, ...]] = (
    check_every_leaf_has_an_owner,
    check_inputs_are_untouched,
    check_every_parameter_moves,
    check_every_term_teaches,
    check_precision,
    check_all_ignored,
    check_no_label,
    check_no_teacher,
    check_one_image,
    check_shapes,
    check_extreme_logits,
    check_not_negative,
    check_ignored_pixels,
    check_unlabelled_images,
    check_eval_leaves_state,
    check_state_round_trip,
    check_random_numbers,
    check_classification,
    check_card,
    check_unit_weight,
    check_statistics,
    check_discriminator,
    check_adaptation,
)
