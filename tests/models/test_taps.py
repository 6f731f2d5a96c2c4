"""Is what a tap reads what flowed there, also before in-place operations, and does nothing stay behind?"""

import pytest
import torch
from torch import Tensor, nn

from foglight.errors import UserError
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.taps import inserted, recorded


class Block(SegmentationModule):
    tap_names = {"pre": "act:in"}  # noqa: RUF012

    def __init__(self, *, inplace: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=inplace)
        self.pair = _Pair()

    def forward(self, image: Tensor, extra: Tensor | None, *, auxiliary: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.pair(image)
        out = self.norm(self.conv(image))
        if self.act.inplace:
            out += image
        else:
            out = out + image
        return self.act(out), ()


class _Pair(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image, image


def test_in_place_operations_do_not_reach_a_tap() -> None:
    overwriting, careful = Block(inplace=True), Block(inplace=False)
    careful.load_state_dict(overwriting.state_dict())
    image = torch.randn(2, 3, 6, 6)
    gradients = []
    for block in (overwriting, careful):
        with recorded(block, ["pre", "norm"]) as features:
            logits, _ = block(image, None, auxiliary=False)
        assert (features["pre"] < 0).any()
        torch.testing.assert_close(features["pre"], features["norm"] + image)
        (features["pre"].square().sum() + features["norm"].sum() + logits.sum()).backward()
        gradients.append(block.conv.weight.grad)
    assert torch.equal(*gradients)


def test_no_hook_stays_behind_even_after_an_error() -> None:
    block = Block(inplace=True)
    with pytest.raises(UserError, match="tensor at the tap 'pair', got tuple"), recorded(block, ["pre", "pair"]):
        block(torch.randn(2, 3, 6, 6), None, auxiliary=False)
    with pytest.raises(UserError, match="a module path"), recorded(block, ["pre", "nothing"]):
        pass
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in block.modules())


def test_an_insertion_stands_in_the_path_while_it_lasts() -> None:
    block, image = Block(inplace=False).eval(), torch.randn(2, 3, 6, 6)
    plain, _ = block(image, None, auxiliary=False)
    scale = nn.Conv2d(3, 3, 1)
    with inserted(block, {"pre": scale}), recorded(block, ["pre"]) as features:
        adapted, _ = block(image, None, auxiliary=False)
    assert torch.equal(adapted, features["pre"].relu())
    adapted.sum().backward()
    assert scale.weight.grad is not None
    assert torch.equal(block(image, None, auxiliary=False)[0], plain)
