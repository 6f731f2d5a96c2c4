"""Labels on a share of the frames: whole groups, pure draws, no leak of what is hidden, and pseudo-labels instead."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from data.builders import Numbered, write_folder
from foglight.config.build import build_data
from foglight.config.schema import DataConfig
from foglight.data.label_share import split_labels
from foglight.data.pseudo_labels import PseudoLabelled
from foglight.data.sample import Sample
from foglight.data.synthetic import fogtown


def test_whole_groups_keep_their_labels() -> None:
    towns = fogtown(part="train", size=(16, 32), frames=48, towns=12)
    labelled, others = split_labels(towns, 0.25, seed=0)
    assert len(set(labelled.groups)) == 3
    assert len(labelled) == 12
    assert not set(labelled.groups) & set(others.groups)
    assert sorted(labelled.ids + others.ids) == sorted(towns.ids)


def test_groups_larger_than_the_share_are_drawn_from_by_frames_and_this_is_said() -> None:
    towns = fogtown(part="train", size=(16, 32), frames=40, towns=2)
    labelled, others = split_labels(towns, 0.1, seed=0)
    assert (len(labelled), len(others)) == (4, 36)
    assert "single frames" in labelled.info.notes[-1]


def test_a_draw_is_the_seeds_and_another_seed_draws_others() -> None:
    draws = [split_labels(Numbered(50), 0.1, seed=seed)[0].ids for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 5


def test_hidden_labels_do_not_leak() -> None:
    labelled, others = split_labels(Numbered(10), 0.3, seed=0)
    assert all(labelled[index].label is not None for index in range(len(labelled)))
    for index in range(len(others)):
        sample = others[index]
        assert (sample.label, sample.labelled) == (None, False)
        assert sample.id == others.ids[index]


def test_even_the_smallest_share_labels_something() -> None:
    assert len(split_labels(Numbered(5), 0.01, seed=0)[0]) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        split_labels(Numbered(5), share, seed=0)


def test_pseudo_labels_replace_labels_and_are_made_once() -> None:
    asked: list[str] = []

    def label(sample: Sample) -> torch.Tensor:
        asked.append(sample.id)
        return torch.full(sample.size, 2, dtype=torch.uint8)

    _, others = split_labels(Numbered(10), 0.3, seed=0)
    frames = PseudoLabelled(others, label)
    for _ in range(2):
        sample = frames[0]
        assert sample.labelled
        assert sample.label is not None
        assert sample.label.unique().tolist() == [2]
    assert asked == [others.ids[0]]


def test_the_stream_mixes_what_the_recipe_says(tmp_path: Path) -> None:
    folder = str(write_folder(tmp_path, groups=8))  # one group to report, one to tune, six to train
    augment = {"crop": [8, 8]}
    config = DataConfig.model_validate({"name": folder, "augment": augment, "labelled_share": 0.34})
    data = build_data(config, seed=3)
    assert len(set(data.train.groups)) == 2
    drawn = [data.stream[position] for position in range(8)]
    assert [sample.labelled for sample in drawn] == [True, False] * 4
    assert all((sample.id in data.train.ids) == sample.labelled for sample in drawn)
    assert all(data.report[index].labelled for index in range(len(data.report)))


@pytest.mark.parametrize("wrong", [{"labelled_share": 0.5, "unlabeled": "more"}, {"pseudo_labels": "runs/teacher"}])
def test_recipes_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="expected"):
        DataConfig.model_validate(wrong)
