"""Is a teacher on other classes read as the sum of its probabilities, and is what it lacks said?"""

from pathlib import Path

import pytest
import torch

from foglight.errors import ConfigurationError, DataError
from foglight.models.class_map import UNREACHED, ClassMap, read_class_map, with_class_map
from foglight.models.load import load_network
from foglight.models.network import Network
from foglight.types import SigmaRequest

DATA = ("street", "vehicle", "tree")


def teacher(*names: str) -> Network:
    torch.manual_seed(0)
    network = load_network("lite_s", num_classes=max(len(names), 4)).eval()
    network.class_names = names
    return network


def test_mapped_probabilities_are_sums_renormalised() -> None:
    plain = teacher()
    mapped = with_class_map(plain, ClassMap((0, 1, 1, -1), tuple("abcd"), DATA)).eval()
    picture = torch.rand(2, 3, 40, 56)
    whole = plain(picture).logits.softmax(1)
    kept = whole[:, :3].sum(1, keepdim=True)
    output = mapped(picture, taps=["head", "layer4"])
    expected = torch.cat([whole[:, :1], whole[:, 1:3].sum(1, keepdim=True)], 1) / kept
    torch.testing.assert_close(output.logits[:, :2].exp(), expected)
    assert (output.logits[:, 2] == UNREACHED).all()
    assert torch.equal(output.features["head"], plain(picture, taps=["head"]).features["head"])
    assert mapped.info().taps["layer4"].channels == plain.info().taps["layer4"].channels
    assert mapped.num_classes == 3


def test_a_pixel_of_a_dropped_class_stays_finite() -> None:
    plain = teacher()
    with torch.no_grad():
        plain.module.head.classifier.bias[3] = 200.0
    logits = with_class_map(plain, ClassMap((0, 1, 1, -1), tuple("abcd"), DATA)).eval()(torch.rand(1, 3, 32, 32)).logits
    assert torch.isfinite(logits).all()
    assert logits[:, :2].exp().sum(1).sub(1).abs().max() < 1e-4


def test_a_mapped_teacher_draws_its_dropouts_and_its_hash_knows_the_map() -> None:
    first, second = (
        with_class_map(teacher(), ClassMap(to, tuple("abcd"), DATA)) for to in ((0, 1, 2, 2), (0, 1, 2, -1))
    )
    request = SigmaRequest(estimator="replay", passes=3)
    assert first(torch.rand(1, 3, 32, 32), sigma=[request]).sigma[request].max() > 0
    assert not torch.equal(first.state_dict()["module.targets"], second.state_dict()["module.targets"])


@pytest.mark.parametrize(
    "text", ["road: street\ntruck: 1\n2: vehicle\n3: null\n", '{"road": 0, "1": 1, "car": "vehicle"}']
)
def test_files_name_classes_by_name_or_index(text: str, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(text)
    found = read_class_map(str(tmp_path / "map.yaml"), teacher("road", "truck", "car", "sky"), DATA)
    assert found.targets == (0, 1, 1, -1)
    assert (found.dropped, found.unreached) == (("sky",), ("tree",))
    assert found.coverage().endswith(
        "3 of 4 teacher classes stand for 2 of 3 classes of the data; no teacher class for tree"
    )


def test_equal_names_are_mapped_whatever_their_case() -> None:
    found = read_class_map("by-name", teacher("Tree", "Street_", "ego vehicle", "sky"), DATA)
    assert found.targets == (2, 0, -1, -1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("roda: street", "did you mean 'road'"),
        ("road: stret", "did you mean 'street'"),
        ("road: 7", "got 7"),
        ("road: null", "no class of the teacher"),
        ("- road", "teacher class: data class"),
        ("road: [", "not readable"),
    ],
)
def test_a_wrong_map_is_refused_in_words(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises((ConfigurationError, DataError), match=words):
        read_class_map(str(tmp_path / "map.yaml"), teacher("road", "truck", "car", "sky"), DATA)


def test_a_missing_map_and_missing_names_are_refused() -> None:
    with pytest.raises(DataError, match="No such file"):
        read_class_map("nowhere.yaml", teacher(), DATA)
    with pytest.raises(ConfigurationError, match="does not say what its 4 classes are called"):
        read_class_map("by-name", teacher(), DATA)
