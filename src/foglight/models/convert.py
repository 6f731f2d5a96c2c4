"""Public checkpoints of the CIRKD family in our key names: the whole file or nothing, with a report.

Two kinds are read: an ImageNet backbone with a deep stem (resnet18-imagenet.pth, resnet101-imagenet.pth), and a whole
DeepLabV3 or PSPNet as trained by winycg/CIRKD @ 2d8ad0f or OSVAI/Af-DCD @ 5b086a7. They were trained on blue, green,
red in [0, 255] less a mean:

    x = 255 * image[bgr] - mean      =      (image[rgb] - PUBLIC_MEAN) / PUBLIC_STD, with the stem's inputs reversed

So the converter reverses the input channels of the first convolution, and the network must normalise by `PUBLIC_MEAN`
and `PUBLIC_STD`; then the function is the published one to the last bit but rounding. Counters of BatchNorm
(`num_batches_tracked`) that old files lack are left as they are: nothing reads them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from torch import Tensor

from foglight.errors import CheckpointError
from foglight.models.pretrained import backbone_of
from foglight.models.segmentation_module import SegmentationModule

PUBLIC_MEAN: Final = (122.67891434 / 255, 116.66876762 / 255, 104.00698793 / 255)
PUBLIC_STD: Final = (1 / 255, 1 / 255, 1 / 255)

_DROPPED: Final = re.compile(r"(backbone\.)?fc\.")
_COUNTER: Final = "num_batches_tracked"
_STEM: Final = "backbone.conv1.0.weight"
_SHOWN: Final = 3

# In order; the first pattern that matches the start of a key rewrites it.
_NETWORK_RULES: Final = (
    (r"pretrained\.", "backbone."),
    (r"auxlayer\.block\.4\.", "auxiliary.classifier."),
    (r"auxlayer\.block\.", "auxiliary.block."),
    (r"head\.aspp\.b0\.", "aspp.branches.0."),
    (r"head\.aspp\.b([123])\.block\.", r"aspp.branches.\1."),
    (r"head\.aspp\.b4\.gap\.1\.", "aspp.branches.4.project.0."),
    (r"head\.aspp\.b4\.gap\.2\.", "aspp.branches.4.project.1."),
    (r"head\.aspp\.project\.", "aspp.project."),
    (r"head\.psp\.conv1\.", "ppm.branches.0.project."),
    (r"head\.psp\.conv2\.", "ppm.branches.1.project."),
    (r"head\.psp\.conv3\.", "ppm.branches.2.project."),
    (r"head\.psp\.conv4\.", "ppm.branches.3.project."),
    (r"head\.block\.4\.", "head.classifier."),
)
_DEEP_STEM_RULES: Final = (
    (r"backbone\.conv1\.", "backbone.conv1.0."),
    (r"backbone\.bn1\.", "backbone.conv1.1."),
    (r"backbone\.conv2\.", "backbone.conv1.3."),
    (r"backbone\.bn2\.", "backbone.conv1.4."),
    (r"backbone\.conv3\.", "backbone.conv1.6."),
    (r"backbone\.bn3\.", "backbone.bn1."),
)


@final
@dataclass(frozen=True)
class ConversionReport:
    """What became of the keys of a public checkpoint.

    Attributes:
        loaded: how many went into the network.
        renamed: how many of them under another name.
        dropped: keys of the ImageNet classifier.
        missing: keys of the network that the file lacks.
        unexpected: keys of the file that the network lacks, in our names.
        mismatched: keys whose shapes differ.
    """

    loaded: int
    renamed: int
    dropped: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether every key found its place."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        return (
            f"{self.loaded} keys loaded, {self.renamed} of them renamed; {len(self.dropped)} dropped (classifier)"
            f"; {_listed('missing', self.missing)}; {_listed('unexpected', self.unexpected)}"
            f"; {_listed('of another shape', self.mismatched)}"
        )


def public_key_to_ours(key: str) -> str:
    """Our name of a public key; a key that no rule touches keeps its name.

    >>> public_key_to_ours("module.pretrained.conv3.weight"), public_key_to_ours("head.aspp.b2.block.0.weight")
    ('backbone.conv1.6.weight', 'aspp.branches.2.0.weight')
    >>> public_key_to_ours("layer4.1.conv2.weight")
    'backbone.layer4.1.conv2.weight'
    """
    key = key.removeprefix("module.")
    if re.match(r"(conv[123]|bn[123]|layer[1-4]|fc)\.", key):
        key = f"backbone.{key}"
    for rules in (_NETWORK_RULES, _DEEP_STEM_RULES):
        for pattern, replacement in rules:
            renamed, count = re.subn(f"^{pattern}", replacement, key)
            if count:
                key = renamed
                break
    return key


def load_public_checkpoint(module: SegmentationModule, state: Mapping[str, Tensor], *, source: str) -> ConversionReport:
    """Load a public backbone or network into `module`, which needs a deep stem.

    Args:
        module: changed in place, and only if every key fits.
        state: public key to tensor.
        source: file name, for the message.

    Raises:
        CheckpointError: if a key is missing, unexpected or of another shape.
    """
    renamed = {public_key_to_ours(key): value for key, value in state.items()}
    dropped = tuple(key for key in renamed if _DROPPED.match(key))
    ours = {key: value for key, value in renamed.items() if key not in dropped}
    if _STEM in ours:
        ours[_STEM] = ours[_STEM].flip(1)
    expected = _expected(module, backbone_only=all(key.startswith("backbone.") for key in ours))
    report = ConversionReport(
        loaded=len(ours.keys() & expected.keys()),
        renamed=sum(public_key_to_ours(key) in expected and public_key_to_ours(key) != key for key in state),
        dropped=dropped,
        missing=tuple(key for key in expected if key not in ours and not key.endswith(_COUNTER)),
        unexpected=tuple(key for key in ours if key not in expected),
        mismatched=tuple(key for key in ours if key in expected and ours[key].shape != expected[key].shape),
    )
    if not report.fits:
        raise CheckpointError(
            f"{source} does not fit {type(module).__name__}: {report}",
            remedy="check that depth, stem, widths and number of classes are those of the checkpoint",
        )
    module.load_state_dict({**module.state_dict(), **ours}, strict=True)
    return report


def _expected(module: SegmentationModule, *, backbone_only: bool) -> dict[str, Tensor]:
    if backbone_only:
        return {f"backbone.{key}": value for key, value in backbone_of(module).state_dict().items()}
    return module.state_dict()


def _listed(kind: str, keys: tuple[str, ...]) -> str:
    shown = ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
    return f"{len(keys)} {kind}" + (f" ({shown})" if keys else "")
