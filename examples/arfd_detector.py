"""Feature distillation inside a torchvision detector's own training loop, on generated pictures.

A loss of foglight needs no segmentation network: it takes any maps, here the levels of two feature pyramids. The
detector's four losses stay what they are and ARFD is added to them. The teacher is untrained here: load yours.
"""

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.rpn import AnchorGenerator

import foglight as fl
from foglight.losses.features.arfd import ARFD
from foglight.types import TapInfo

LEVELS = ("0", "1", "pool")
SIZE = 64


def detector(width: int, channels: int) -> FasterRCNN:
    """A small two-class detector whose pyramid has `channels` channels at every level."""
    stages = nn.Sequential()
    for index, (inputs, outputs) in enumerate(((3, width), (width, width), (width, 2 * width))):
        stages.add_module(f"stage{index}", nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.ReLU()))
    pyramid = BackboneWithFPN(stages, {"stage1": "0", "stage2": "1"}, [width, 2 * width], channels)
    anchors = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * len(LEVELS))
    return FasterRCNN(
        pyramid,
        num_classes=2,
        min_size=SIZE,
        max_size=SIZE,
        rpn_anchor_generator=anchors,
        rpn_batch_size_per_image=16,
        rpn_pre_nms_top_n_train=32,
        rpn_post_nms_top_n_train=16,
        box_batch_size_per_image=16,
    )


def pictures(count: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Grey noise with one bright square each."""
    images, targets = [], []
    for _ in range(count):
        image = 0.3 * torch.rand(3, SIZE, SIZE)
        left, top = torch.randint(0, SIZE - 20, (2,)).tolist()
        image[:, top : top + 20, left : left + 20] += 0.6
        images.append(image)
        box = torch.tensor([[left, top, left + 20, top + 20]], dtype=torch.float32)
        targets.append({"boxes": box, "labels": torch.ones(1, dtype=torch.int64)})
    return images, targets


def info(channels: int) -> fl.ModelInfo:
    """What ARFD must know of a detector: the channels and strides of its pyramid."""
    strides = zip(LEVELS, (4, 8, 16), strict=True)
    taps = {level: TapInfo(channels, stride) for level, stride in strides}
    return fl.ModelInfo(num_classes=2, stride=4, taps=taps)


def said(features: dict[str, Tensor]) -> fl.ModelOutput:
    """A feature loss never reads the logits; any level stands in for them."""
    return fl.ModelOutput(features[LEVELS[0]], features)


def main(steps: int = 12) -> list[dict[str, float]]:
    torch.manual_seed(0)
    student, teacher = detector(width=8, channels=16), detector(width=16, channels=32).eval().requires_grad_(False)
    arfd = ARFD(info(16), info(32), tap=LEVELS)
    optimiser = torch.optim.AdamW([*student.parameters(), *arfd.parameters()], lr=2e-3)
    seen: dict[str, Tensor] = {}
    student.backbone.register_forward_hook(lambda module, inputs, levels: seen.update(levels))
    images, targets = pictures(4)
    batch = fl.Batch(torch.stack(images))
    history: list[dict[str, float]] = []
    for _ in range(steps):
        losses = student.train()(images, targets)
        with torch.no_grad():
            guide = teacher.backbone(teacher.transform(images)[0].tensors)
        losses |= arfd(said(seen), said(guide), batch)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        history.append({name: value.item() for name, value in losses.items()})
    print({name: round(value, 3) for name, value in history[-1].items()})
    return history


if __name__ == "__main__":
    main()
