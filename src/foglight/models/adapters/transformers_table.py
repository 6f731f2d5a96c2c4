"""Architectures of transformers that can be named without a folder and without a network.

Sizes as published: Xie et al., SegFormer (2021), table 6; Oquab et al., DINOv2 (2023); Mehta and Rastegari, MobileViT
(2022). Imports nothing heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final


@final
@dataclass(frozen=True)
class KnownArchitecture:
    """A configuration by name.

    Attributes:
        model_type: of transformers.
        config: what differs from that type's defaults.
        checkpoint: on the hub, whose encoder `pretrained: true` takes.
    """

    model_type: str
    config: Mapping[str, Any]
    checkpoint: str


def _segformer(size: int, depths: list[int]) -> KnownArchitecture:
    widths = [32, 64, 160, 256] if size == 0 else [64, 128, 320, 512]
    config = {"hidden_sizes": widths, "depths": depths, "decoder_hidden_size": 256 if size < 2 else 768}
    return KnownArchitecture("segformer", config, f"nvidia/mit-b{size}")


def _dinov2(name: str, width: int, layers: int) -> KnownArchitecture:
    config = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64, "image_size": 518}
    return KnownArchitecture("dinov2", {**config, "patch_size": 14}, f"facebook/dinov2-{name}")


KNOWN: Final[Mapping[str, KnownArchitecture]] = {
    "segformer-b0": _segformer(0, [2, 2, 2, 2]),
    "segformer-b1": _segformer(1, [2, 2, 2, 2]),
    "segformer-b2": _segformer(2, [3, 4, 6, 3]),
    "segformer-b3": _segformer(3, [3, 4, 18, 3]),
    "segformer-b4": _segformer(4, [3, 8, 27, 3]),
    "segformer-b5": _segformer(5, [3, 6, 40, 3]),
    "dinov2-small": _dinov2("small", 384, 12),
    "dinov2-base": _dinov2("base", 768, 12),
    "dinov2-large": _dinov2("large", 1024, 24),
    "mobilevit-small": KnownArchitecture("mobilevit", {}, "apple/deeplabv3-mobilevit-small"),
}
