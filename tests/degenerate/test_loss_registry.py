"""Losses are found by file stem, and a wrong recipe is told what would have been right."""

from importlib.metadata import EntryPoint

import pytest

from foglight.errors import ConfigurationError
from foglight.losses import registry
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.logits.cwd import CWD
from foglight.losses.logits.kd import KD
from foglight.losses.registry import ENTRY_POINT_GROUP, build_loss, loss_class, loss_names, loss_options
from foglight.types import ModelInfo

INFO = ModelInfo(3, 8)


@pytest.mark.parametrize("name", loss_names())
def test_every_file_holds_one_loss_with_a_card(name: str) -> None:
    loss = loss_class(name)
    assert issubclass(loss, DistillationLoss)
    assert isinstance(loss.card, Card)
    assert all([loss.card.title.endswith("."), loss.card.equation, loss.card.source, loss.card.cost])


def test_options_are_the_keyword_arguments() -> None:
    loss = build_loss("kd", INFO, INFO, {"temperature": 2, "reduction": "element_mean"})
    assert isinstance(loss, KD)
    assert (loss.temperature, loss.reduction) == (2.0, "element_mean")
    assert "temperature" in loss_options(KD)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("kdd", {}, "did you mean 'kd'"),
        ("nothing_like_it", {}, "cross_entropy"),
        ("kd", {"temprature": 2}, r"unknown option 'temprature', did you mean 'temperature'\?"),
        ("kd", {"temperature": "hot"}, "temperature: .*number.* got 'hot'"),
        ("kd", {"reduction": "mean"}, "reduction: .*'pixel_mean'.* got 'mean'"),
        ("kd", {"temperature": -1}, "expected temperature > 0, got -1"),
        ("kd", {"grid": "x", "tau": 2}, "grid: .*unknown option 'tau'.*options are temperature"),
    ],
)
def test_a_wrong_recipe_says_what_is_right(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_loss(name, INFO, INFO, options)


def test_other_packages_add_losses_but_replace_none(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        EntryPoint(name, "foglight.losses.logits.cwd:CWD", ENTRY_POINT_GROUP) for name in ("their_own", "kd")
    ] + [EntryPoint("no_loss", "foglight.types:Batch", ENTRY_POINT_GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == ENTRY_POINT_GROUP else [])
    assert "their_own" in loss_names()
    assert loss_class("their_own") is CWD
    assert loss_class("kd") is KD
    with pytest.raises(ConfigurationError, match=r"expected foglight\.types:Batch to be a DistillationLoss"):
        loss_class("no_loss")


def test_a_loss_that_needs_a_teacher_says_so() -> None:
    with pytest.raises(ConfigurationError, match="expected a teacher for `kd`"):
        build_loss("kd", INFO, None, {})
