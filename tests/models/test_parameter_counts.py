"""Do the networks have the sizes that the papers report?"""

import pytest
import torch

from foglight.models.registry import build_module, model_names, parameter_count


def count(name: str, num_classes: int, **options: object) -> int:
    with torch.device("meta"):
        return parameter_count(build_module(name, num_classes=num_classes, options=options))


@pytest.mark.parametrize(
    ("name", "millions"), [("deeplabv3_r18", 13.61), ("pspnet_r18", 12.92), ("deeplabv3_r101", 61.12)]
)
def test_fotf_networks_with_19_classes_and_the_auxiliary_head(name: str, millions: float) -> None:
    assert count(name, 19) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    ("name", "exact"),
    [("deeplabv3plus_r101", 59_344_309), ("deeplabv3plus_r18", 16_608_181), ("deeplabv3plus_mbv2", 5_816_053)],
)
def test_attnfd_networks_with_21_classes_are_exact(name: str, exact: int) -> None:
    assert count(name, 21) == exact


@pytest.mark.parametrize(("name", "millions"), [("lite_s", 0.124), ("lite_m", 0.648), ("lite_l", 1.97)])
def test_lite_family_with_11_classes(name: str, millions: float) -> None:
    assert count(name, 11) / 1e6 == pytest.approx(millions, abs=0.005)


def test_canonical_teacher_is_the_public_pspnet_of_65_7_million() -> None:
    assert count("pspnet_r101", 19, auxiliary=False) / 1e6 == pytest.approx(65.7, abs=0.1)


def test_a_plain_stem_is_smaller_than_a_deep_one() -> None:
    # 3->64, 64->64, 64->128 of 3x3 with two more norms, and a wider first block, against one 7x7.
    assert count("deeplabv3_r18", 19) - count("deeplabv3_r18_plain", 19) == 148_480


@pytest.mark.parametrize("name", model_names())
def test_a_class_costs_one_row_of_each_classifier(name: str) -> None:
    with torch.device("meta"):
        module = build_module(name, num_classes=4, options={})
    per_class = sum(
        c.weight[0].numel() + 1
        for c in module.modules()
        if isinstance(c, torch.nn.Conv2d) and c.bias is not None and c.out_channels == 4
    )
    # Some published networks end in a BatchNorm, of a weight and a bias for each class.
    per_class += sum(
        2 for norm in module.modules() if isinstance(norm, torch.nn.BatchNorm2d) and norm.num_features == 4
    )
    assert per_class
    assert count(name, 5) - count(name, 4) == per_class
