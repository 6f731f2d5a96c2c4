"""What a reader should know of each network before building it. Imports neither torch nor timm, so listing is quick."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, final

_FOTF: Final = "Chen et al., Rethinking atrous convolution (2017); widths as in FOTF's experiments"
_PSP: Final = "Zhao et al., Pyramid scene parsing network (CVPR 2017)"
_PLUS: Final = "Chen et al., Encoder-decoder with atrous separable convolution (ECCV 2018); as in AttnFD's experiments"
_SNE: Final = "Fan et al., SNE-RoadSeg (ECCV 2020); the network of LIX's experiments"
_SNE_CODE: Final = "hlwang1124/SNE-RoadSeg"
_MFNET: Final = "Ha et al., MFNet (IROS 2017); the small network of LIX's experiments"
_LITE: Final = "own design: plain 3x3 blocks, a stem at high resolution, stages merged at stride 4"
_CIRKD: Final = "winycg/CIRKD @ 2d8ad0f"
_ATTNFD: Final = "AmirMansurian/AttnFD @ f090bbe"
_SCRATCH: Final = "trains from scratch; there are no pretrained weights"
_DEEP_R18: Final = (
    "timm has no ResNet-18 with a deep stem: give the public resnet18-imagenet.pth or a CIRKD checkpoint as "
    "`weights: FILE`, take the `_plain` network, or train from scratch"
)


@final
@dataclass(frozen=True)
class ModelCard:
    """A network's origin, and how it is built.

    Attributes:
        name: registry key.
        title: one plain sentence.
        source: paper.
        repository: public code at a commit; empty where there is none.
        builder: which builder makes it.
        identity: arguments of the builder that make this network what its name says; not open to a recipe.
        defaults: arguments of the builder that a recipe may change; those not named have the builder's own default.
        pretrained: timm's name of the backbone's weights; None where timm has none.
        weights: where weights come from, in plain words.
    """

    name: str
    title: str
    source: str
    builder: str
    weights: str
    repository: str = ""
    identity: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    pretrained: str | None = None


def _from_timm(weights: str) -> str:
    return f"backbone from timm's {weights} (ImageNet-1k)"


def _deeplabv3(name: str, depth: int, stem: str, channels: int, pretrained: str | None) -> ModelCard:
    return ModelCard(
        name,
        f"DeepLabV3 on ResNet-{depth}, {stem} stem, stride 8, auxiliary head",
        _FOTF,
        "deeplabv3_resnet",
        _from_timm(pretrained) if pretrained else _DEEP_R18,
        _CIRKD,
        {"depth": depth, "stem": stem},
        {"channels": channels},
        pretrained,
    )


def _pspnet(name: str, depth: int, stem: str, channels: int, pretrained: str | None) -> ModelCard:
    return ModelCard(
        name,
        f"PSPNet on ResNet-{depth}, {stem} stem, stride 8, auxiliary head",
        _PSP,
        "pspnet_resnet",
        _from_timm(pretrained) if pretrained else _DEEP_R18,
        _CIRKD,
        {"depth": depth, "stem": stem},
        {"channels": channels},
        pretrained,
    )


def _deeplabv3plus(name: str, depth: int, multi_grid: tuple[int, ...], pretrained: str) -> ModelCard:
    return ModelCard(
        name,
        f"DeepLabV3+ on ResNet-{depth}, plain stem, stride 16, decoder at stride 4",
        _PLUS,
        "deeplabv3plus_resnet",
        _from_timm(pretrained),
        _ATTNFD,
        {"depth": depth},
        {"multi_grid": multi_grid},
        pretrained,
    )


def _lite(name: str, size: str, widths: tuple[int, ...], channels: int) -> ModelCard:
    defaults = {"widths": widths, "channels": channels}
    return ModelCard(
        name, f"plain network of {size} parameters for a CPU, stride 4", _LITE, "lite", _SCRATCH, defaults=defaults
    )


def _sne_roadseg(depth: int, *, extra: bool) -> ModelCard:
    weights = f"resnet{depth}.tv_in1k"
    title, said, identity, defaults = (
        (f"two ResNet-{depth}, image and depth or normals", ", in both encoders", {}, {"extra_channels": 3})
        if extra
        else (f"ResNet-{depth}, image alone", "", {"extra_channels": 0}, {})
    )
    return ModelCard(
        f"sne_roadseg_r{depth}" if extra else f"sne_roadseg_r{depth}_rgb",
        f"SNE-RoadSeg on {title}, stride 1",
        _SNE,
        "sne_roadseg_resnet",
        _from_timm(weights) + said,
        _SNE_CODE,
        {"depth": depth, **identity},
        defaults,
        weights,
    )


def _pair(name: str, title: str, source: str, builder: str, repository: str, widths: dict[str, Any]) -> list[ModelCard]:
    """A teacher that reads one extra channel, and the same network of colour images."""
    both = (f"{title}, image and one extra channel", name, {}, {"extra_channels": 1})
    alone = (f"{title}, image alone", f"{name}_rgb", {"extra_channels": 0}, {})
    return [
        ModelCard(key, text, source, builder, _SCRATCH, repository, identity, {**widths, **defaults})
        for text, key, identity, defaults in (both, alone)
    ]


def _segformer(name: str, depths: tuple[int, ...], hidden_sizes: tuple[int, ...], channels: int) -> ModelCard:
    return ModelCard(
        f"segformer_{name}",
        f"SegFormer on MiT-{name.upper()} through the transformers library, stride 4",
        "Xie et al., SegFormer (NeurIPS 2021); the student and teacher of FOTF's experiments",
        "segformer",
        f"{_SCRATCH} here; needs foglight[hf]",
        "huggingface/transformers",
        {"depths": depths, "hidden_sizes": hidden_sizes},
        {"channels": channels},
    )


_MOBILENET: Final = "mobilenetv2_100.ra_in1k"
_CARDS: Final = (
    _deeplabv3("deeplabv3_r18", 18, "deep", 128, None),
    _deeplabv3("deeplabv3_r18_plain", 18, "plain", 128, "resnet18.tv_in1k"),
    _deeplabv3("deeplabv3_r101", 101, "deep", 256, "resnet101s.gluon_in1k"),
    ModelCard(
        "deeplabv3_mbv2",
        "DeepLabV3 on MobileNetV2, stride 8, no auxiliary head",
        _FOTF,
        "deeplabv3_mobilenetv2",
        _from_timm(_MOBILENET),
        _CIRKD,
        defaults={"channels": 128},
        pretrained=_MOBILENET,
    ),
    _pspnet("pspnet_r18", 18, "deep", 128, None),
    _pspnet("pspnet_r18_plain", 18, "plain", 128, "resnet18.tv_in1k"),
    _pspnet("pspnet_r101", 101, "deep", 512, "resnet101s.gluon_in1k"),
    _deeplabv3plus("deeplabv3plus_r101", 101, (1, 2, 4), "resnet101.tv_in1k"),
    _deeplabv3plus("deeplabv3plus_r18", 18, (), "resnet18.tv_in1k"),
    ModelCard(
        "deeplabv3plus_mbv2",
        "DeepLabV3+ on MobileNetV2, stride 16, decoder at stride 4",
        _PLUS,
        "deeplabv3plus_mobilenetv2",
        _from_timm(_MOBILENET),
        _ATTNFD,
        pretrained=_MOBILENET,
    ),
    _lite("lite_s", "0.12 M", (12, 24, 40, 56), 32),
    _lite("lite_m", "0.65 M", (32, 56, 96, 128), 64),
    _lite("lite_l", "2.0 M", (56, 96, 168, 224), 112),
    *(_sne_roadseg(depth, extra=extra) for depth in (18, 34, 50, 101, 152) for extra in (True, False)),
    *_pair(
        "sne_roadseg_lite",
        "SNE-RoadSeg on plain encoders for a CPU",
        _SNE,
        "sne_roadseg_lite",
        "",
        {"widths": (12, 16, 24, 32, 48)},
    ),
    *_pair("mfnet", "MFNet", _MFNET, "mfnet", "haqishen/MFNet-pytorch", {}),
    *_pair(
        "mfnet_lite",
        "MFNet of half the widths for a CPU",
        _MFNET,
        "mfnet",
        "",
        {"widths": (8, 24, 24, 48, 48), "extra_widths": (8, 8, 8, 16, 16)},
    ),
    _segformer("b0", (2, 2, 2, 2), (32, 64, 160, 256), 256),
    _segformer("b4", (3, 8, 27, 3), (64, 128, 320, 512), 768),
)
MODEL_CARDS: Final[Mapping[str, ModelCard]] = MappingProxyType({card.name: card for card in _CARDS})
