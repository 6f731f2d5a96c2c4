"""A network of another library: what every adapter hands back, and what their modules share.

Every adapter's features pass through `stages`, one `nn.Identity` each: `layer1` ... `layer4` name the stages at strides
4, 8, 16 and 32 (or four blocks of a vision transformer), `stem` what comes before, `backbone` the last. `head` is what
the classifier reads, `head_clean` the same before its dropout.
"""

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from torch import Tensor, nn

from foglight.errors import ConfigurationError
from foglight.models.dry_run import Measured, measure
from foglight.models.network import FROM_SCRATCH, IMAGENET, Colour
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.taps import INPUT_SUFFIX

STAGES: Final = 4


@final
@dataclass(frozen=True)
class Foreign:
    """What an adapter builds.

    Attributes:
        module: the architecture.
        normalisation: mean and std of images in [0, 1].
        source: where the weights come from, in words.
        options: of the builder, such that it builds the same again without a network or a folder.
        class_names: of a checkpoint that knows them.
    """

    module: SegmentationModule
    normalisation: tuple[Colour, Colour] = IMAGENET
    source: str = FROM_SCRATCH
    options: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()


class ForeignModule(SegmentationModule, ABC):
    """A whole segmentation network of another library; taps that are no alias are paths of that network.

    Args:
        inner: the network.
        stages: names of the features that pass, from fine to coarse.
    """

    def __init__(self, inner: nn.Module, *, stages: Sequence[str]) -> None:
        super().__init__()
        self.inner = inner
        self.stages = nn.ModuleList(nn.Identity() for _ in stages)
        self.tap_root = "inner"
        self.tap_names = stage_taps(stages)


def stage_names(count: int) -> tuple[str, ...]:
    """Five stages begin at stride 2, fewer at stride 4.

    >>> stage_names(5)
    ('stem', 'layer1', 'layer2', 'layer3', 'layer4')
    """
    layers = tuple(f"layer{number}" for number in range(1, count + 1))
    return ("stem", *layers[:-1]) if count > STAGES else layers


def stage_taps(names: Sequence[str]) -> dict[str, str]:
    """Aliases of the stages, the last of which is the backbone's output.

    >>> stage_taps(["layer1", "layer2"])
    {'layer1': 'stages.0', 'layer2': 'stages.1', 'backbone': 'stages.1'}
    """
    taps = {name: f"stages.{index}" for index, name in enumerate(names)}
    return taps | ({"backbone": f"stages.{len(names) - 1}"} if names else {})


def name_head(module: SegmentationModule, size: tuple[int, int]) -> None:
    """Add the aliases `head` and `head_clean`, found by a dry run; none where the classifier reads no feature map."""
    measured = measure(module, size)
    found = classifier_path(module, measured)
    if found is None or found + INPUT_SUFFIX not in measured.fired:
        return
    feeding = measured.path.feeding
    clean = found if feeding is None or measured.path.classifier != found else feeding
    head = {"head": found + INPUT_SUFFIX, "head_clean": clean + INPUT_SUFFIX}
    module.tap_names = {**module.tap_names, **head}


def classifier_path(module: nn.Module, measured: Measured) -> str | None:
    """The linear module or convolution that makes the logits, or made what was only resized after it."""
    if measured.path.classifier is not None:
        return measured.path.classifier
    for position in reversed(measured.fired):
        if position.endswith(INPUT_SUFFIX):
            continue
        part = module.get_submodule(position) if position else module
        if isinstance(part, nn.Linear | nn.Conv2d):
            # Only the last one can be the classifier: an earlier one with k channels is a coincidence.
            return position if measured.fired[position].channels == measured.logits[1] else None
    return None


def head_path(module: SegmentationModule) -> str | None:
    """The part of a network that holds its classifier; None where no classifier can be told.

    It is the outermost one below the network itself: `head`, `inner.decode_head`, `inner.classifier`.
    """
    size = 2 * max(module.size_multiple, 32)
    found = classifier_path(module, measure(module, (size, size)))
    if found is None:
        return None
    root = f"{module.tap_root}." if module.tap_root else ""
    return root + found.removeprefix(root).split(".")[0]


def require_classes(name: str, num_classes: int | None, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The number of classes, which an option may name, and the other options.

    Raises:
        ConfigurationError: if nobody says it.
    """
    rest = dict(options)
    said = rest.pop("num_classes", num_classes)
    if not isinstance(said, int) or said < 1:
        raise ConfigurationError(
            f"{name} is an untrained head, whose number of classes is not known (got {said!r})",
            remedy="set options.num_classes, or train it on the data first by `--finetune-teacher STEPS`",
        )
    return said, rest


def looked_at(stages: nn.ModuleList, features: Sequence[Tensor]) -> list[Tensor]:
    """The features, each after its stage."""
    return [stage(feature) for stage, feature in zip(stages, features, strict=True)]
