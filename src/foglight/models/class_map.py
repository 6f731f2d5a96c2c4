"""A teacher that was trained on other classes, read as one on the classes of the data.

    z_c(x) = log sum over teacher classes t with map(t) = c of p_t(x),    p = softmax of the teacher's logits

Symbols: c data class, t teacher class; many t may map to one c. Unmapped teacher classes are dropped and the rest
renormalised by whichever softmax reads z. A data class that no teacher class reaches gets `UNREACHED`: the teacher can
only be wrong on its pixels, which is why the coverage is printed. The file is YAML or JSON, teacher class to data
class, each by name or index, `null` for dropped:

    {road: road, 7: pavement, truck: car, bus: car, sky: null}

`by-name` in place of a file maps equal names (letter case and separators aside). The map is applied on the head's grid,
before any resizing. Cost: one softmax and one sum over the teacher's classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
import yaml
from jaxtyping import Float, Int
from torch import Tensor

from foglight.errors import ConfigurationError, DataError
from foglight.functional.binary import at_least_two_classes
from foglight.models.network import Network
from foglight.models.segmentation_module import SegmentationModule
from foglight.spelling import known_words

BY_NAME: Final = "by-name"
# log 1e-6: finite, so that no divergence is; below any probability that a trained network gives a class it knows.
UNREACHED: Final = math.log(1e-6)
_DROPPED: Final = -1


@final
@dataclass(frozen=True)
class ClassMap:
    """Which data class every teacher class stands for.

    Attributes:
        targets: data class by teacher class, -1 for dropped.
        teacher_names: by teacher class.
        data_names: by data class.
    """

    targets: tuple[int, ...]
    teacher_names: tuple[str, ...]
    data_names: tuple[str, ...]

    @property
    def unreached(self) -> tuple[str, ...]:
        """Data classes without a teacher class."""
        return tuple(name for index, name in enumerate(self.data_names) if index not in self.targets)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Teacher classes without a data class."""
        return tuple(name for name, target in zip(self.teacher_names, self.targets, strict=True) if target == _DROPPED)

    def coverage(self) -> str:
        """One sentence for plans and reports."""
        reached = len(self.data_names) - len(self.unreached)
        used = len(self.targets) - len(self.dropped)
        missing = f"; no teacher class for {', '.join(self.unreached)}" if self.unreached else ""
        return (
            f"class map: {used} of {len(self.targets)} teacher classes stand for {reached} of {len(self.data_names)} "
            f"classes of the data{missing}"
        )


def mapped_logits(
    logits: Float[Tensor, "b k *grid"], targets: Int[Tensor, " k"], classes: int
) -> Float[Tensor, "b classes *grid"]:
    """The logarithms of summed probabilities; see the top of this file.

    >>> mapped_logits(torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([1, 1, 0]), 2).exp()
    tensor([[0.2000, 0.8000]])
    """
    kept = targets != _DROPPED
    said = logits.float().log_softmax(1)[:, kept]
    largest = said.amax(1, keepdim=True)
    probabilities = (said - largest).exp()
    sums = probabilities.new_zeros(len(logits), classes, *logits.shape[2:]).index_add(1, targets[kept], probabilities)
    summed = sums.clamp(min=torch.finfo(sums.dtype).tiny).log() + largest
    reached = torch.zeros(classes, dtype=torch.bool, device=targets.device).index_fill(0, targets[kept], True)
    # Relative to what was kept, so that a pixel of a dropped class does not make unreached classes likely.
    normalised = summed - said.logsumexp(1, keepdim=True)
    columns = reached.view(-1, *(1 for _ in logits.shape[2:]))
    return torch.where(columns, normalised, UNREACHED)


@final
class ClassMapped(SegmentationModule):
    """An architecture whose logits are read as those of other classes; taps and dropouts are the architecture's own.

    Args:
        inner: the architecture.
        targets: data class by teacher class, -1 for dropped; a part of the state, so that a hash tells maps apart.
        classes: of the data.
    """

    targets: Tensor

    def __init__(self, inner: SegmentationModule, targets: Sequence[int], classes: int) -> None:
        super().__init__()
        self.inner = inner
        self.classes = classes
        self.register_buffer("targets", torch.tensor(list(targets)))
        self.tap_names = {alias: f"inner.{path}" for alias, path in inner.tap_names.items()}
        self.tap_root = f"inner.{inner.tap_root}" if inner.tap_root else "inner"
        self.align_corners = inner.align_corners
        self.size_multiple = inner.size_multiple
        self.extra_channels = inner.extra_channels

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Log-probabilities of the data's classes, of the auxiliary heads too."""
        logits, side = self.inner(image, extra, auxiliary=auxiliary)
        return self._mapped(logits), tuple(self._mapped(one) for one in side)

    def _mapped(self, logits: Tensor) -> Tensor:
        return mapped_logits(at_least_two_classes(logits), self.targets, self.classes)


def with_class_map(network: Network, class_map: ClassMap) -> Network:
    """The same network on the classes of the data."""
    mean, std = network.normalisation
    return Network(
        ClassMapped(network.module, class_map.targets, len(class_map.data_names)),
        num_classes=len(class_map.data_names),
        mean=mean,
        std=std,
        name=network.name,
        builder=None,
        weights_source=f"{network.weights_source}; {class_map.coverage()}",
        class_names=class_map.data_names,
        extra_kinds=network.extra_kinds,
    )


def read_class_map(source: str, network: Network, data_names: Sequence[str]) -> ClassMap:
    """The map in a file, or by equal names.

    Args:
        source: a YAML or JSON file, or `by-name`.
        network: the teacher.
        data_names: by class of the data.

    Raises:
        ConfigurationError: for a class that there is not, names that are not known, or a map that reaches nothing.
        DataError: if the file cannot be read.
    """
    teacher_names = network.class_names or tuple(str(index) for index in range(network.num_classes))
    if source == BY_NAME:
        targets = _by_name(network, data_names)
    else:
        targets = [_DROPPED] * network.num_classes
        for key, value in _read(Path(source)).items():
            teacher = _index(key, teacher_names, f"{source}: a class of the teacher {network.name}")
            data = _DROPPED if value is None else _index(value, data_names, f"{source}: a class of the data")
            targets[teacher] = data
    if not any(target != _DROPPED for target in targets):
        raise ConfigurationError(
            f"{source}: no class of the teacher {network.name} stands for any of {', '.join(data_names)}",
            remedy="write a file `teacher class: data class` for --class-map",
        )
    return ClassMap(tuple(targets), teacher_names, tuple(data_names))


def _by_name(network: Network, data_names: Sequence[str]) -> list[int]:
    if not network.class_names:
        raise ConfigurationError(
            f"{BY_NAME}: the teacher {network.name} does not say what its {network.num_classes} classes are called",
            remedy="write a file `teacher class index: data class` for --class-map",
        )
    known = {_plain(name): index for index, name in enumerate(data_names)}
    return [known.get(_plain(name), _DROPPED) for name in network.class_names]


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise DataError(
            f"{path}: not readable as a class map ({reason})", remedy=f"give a YAML or JSON file, or `{BY_NAME}`"
        ) from error
    if not isinstance(content, dict) or not content:
        raise DataError(
            f"{path}: expected teacher classes and data classes, got {content!r}",
            remedy="write `teacher class: data class`, one a line",
        )
    return content


def _index(said: object, names: Sequence[str], what: str) -> int:
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < len(names):
        return said
    if isinstance(said, str):
        if said in names:
            return names.index(said)
        if said.isdigit() and int(said) < len(names):  # JSON has no other keys than text
            return int(said)
    raise ConfigurationError(f"expected {what}, got {said!r}", remedy=known_words(str(said), names))
