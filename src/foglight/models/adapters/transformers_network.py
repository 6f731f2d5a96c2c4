"""Networks of transformers as ours: per-pixel logits, mask classification, and backbones for our heads.

Their hidden states pass through `stages`: four-dimensional ones as they are, tokens folded to grids, class and register
tokens dropped by the model's configuration (and mask queries, which EoMT puts before them). A vision transformer names
every block, `block1` ..., and four at equal distances `layer1` ... `layer4`. These stages are read, not written: a loss
that puts modules into the teacher's path names a module path.

A network that refuses images of other shapes (fixed position embeddings) gets the image stretched to its own square;
its maps then stand for the whole image all the same. Cost: the network's; a stage is a view.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.errors import ConfigurationError, UserError
from foglight.models.adapters.foreign import STAGES, ForeignModule, name_head, stage_names, stage_taps
from foglight.models.adapters.mask_classification import pixel_log_probability
from foglight.models.adapters.tokens import fold_tokens

# Plain vision transformers are padded to their patch; everything else to the coarsest stride in use.
_PLAIN: Final = (
    "beit",
    "data2vec-vision",
    "dpt",
    "eomt",
    "eomt_dinov3",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
)
_COARSEST: Final = 32


class TransformersNetwork(ForeignModule, ABC):
    """A whole network of transformers.

    Args:
        inner: a `PreTrainedModel`.
        flip_channels: whether it wants blue, green, red.
    """

    def __init__(self, inner: nn.Module, *, flip_channels: bool = False) -> None:
        super().__init__(inner, stages=())
        self.flip_channels = flip_channels
        self.fixed_size: int | None = None
        settings: Mapping[str, Any] = inner.get_submodule("").config.to_dict()  # type: ignore[union-attr]
        self.prefixes = _prefixes(settings)
        self.positions: list[int] = []
        self.size_multiple = image_multiple(settings)
        self._settle(settings)

    @abstractmethod
    def logits(self, output: Any) -> Float[Tensor, "b k h w"]:
        """The logits in what the network says."""

    @final
    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits; auxiliary heads are not run."""
        image = self._seen(image)
        output = self.inner(pixel_values=image, output_hidden_states=True, return_dict=True)
        states, size = hidden_states(output), (image.shape[2], image.shape[3])
        for stage, position in zip(self.stages, self.positions, strict=True):
            feature = as_map(states[position], size, self.prefixes)
            if stage(feature) is not feature:
                raise UserError(
                    "a stage of a transformers network is read, not written; something stands in its path",
                    remedy="name a module path of the network instead of its alias",
                )
        return self.logits(output), ()

    def _seen(self, image: Tensor) -> Tensor:
        image = image.flip(1) if self.flip_channels else image
        if self.fixed_size is None:
            return image
        return F.interpolate(image, (self.fixed_size, self.fixed_size), mode="bilinear", antialias=True)

    @torch.no_grad()
    def _settle(self, settings: Mapping[str, Any]) -> None:
        """Whether other shapes are accepted, which stages there are, and where the head is."""
        self.eval()
        probe = (2 * self.size_multiple, 3 * self.size_multiple)
        try:
            output = self._say(probe)
        except Exception as error:  # Each network fails in its own way on a shape that it was not made for.
            self.fixed_size = settings.get("image_size") if isinstance(settings.get("image_size"), int) else None
            if self.fixed_size is None:
                raise ConfigurationError(
                    f"{type(self.inner).__name__} fails on an image of {probe[0]} x {probe[1]} pixels ({error})",
                    remedy="take another network, or wrap it as module:package.mod:build",
                ) from error
            self.size_multiple, probe = 1, (self.fixed_size, self.fixed_size)
            output = self._say(probe)
        states = hidden_states(output)
        rows = [as_map(state, probe, self.prefixes).shape[2] for state in states]
        plain = len(states) > STAGES and len(set(rows)) == 1
        # Of several states on one grid the last is the stage; a plain transformer has one grid, and names every block.
        last = [index for index, grid in enumerate(rows) if index + 1 == len(rows) or rows[index + 1] != grid]
        self.positions = list(range(1, len(states))) if plain else last
        count = len(self.positions)
        names = [f"block{number}" for number in range(1, count + 1)] if plain else list(stage_names(count))
        self.stages = nn.ModuleList(nn.Identity() for _ in names)
        self.tap_names = stage_taps(names)
        if plain:
            layers = {f"layer{part}": f"stages.{index - 1}" for part, index in enumerate(evenly(count), start=1)}
            self.tap_names = {**self.tap_names, **layers}
        self.train()
        name_head(self, probe)

    def _say(self, size: tuple[int, int]) -> Any:
        return self.inner(pixel_values=torch.zeros(1, 3, *size), output_hidden_states=True, return_dict=True)


@final
class SemanticNetwork(TransformersNetwork):
    """One of `AutoModelForSemanticSegmentation`."""

    def logits(self, output: Any) -> Float[Tensor, "b k h w"]:
        """As they are."""
        return output.logits


@final
class MaskNetwork(TransformersNetwork):
    """One of `AutoModelForUniversalSegmentation`: queries with classes and masks."""

    def logits(self, output: Any) -> Float[Tensor, "b k h w"]:
        """Normalised log-probabilities."""
        return pixel_log_probability(output.class_queries_logits, output.masks_queries_logits)


@final
class BackboneFeatures(nn.Module):
    """One of `AutoBackbone`, whose stages are feature maps.

    Args:
        backbone: the backbone.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> list[Tensor]:
        """The stages."""
        return list(self.backbone(pixel_values=image, return_dict=True).feature_maps)


def hidden_states(output: Any) -> tuple[Tensor, ...]:
    """The encoder's hidden states in what a network said, which is a dictionary of what there is."""
    said: Mapping[str, Any] = dict(output)
    return tuple(said.get("encoder_hidden_states") or said.get("hidden_states") or ())


def as_map(state: Tensor, size: tuple[int, int], prefixes: Sequence[int]) -> Float[Tensor, "b c h w"]:
    """A hidden state as a feature map.

    Args:
        state: a map, or tokens.
        size: height and width of the image.
        prefixes: how many tokens may stand for no place; the first number that leaves a grid is taken.

    Raises:
        ValueError: if no number does.
    """
    if state.ndim == 4:
        return state
    for prefix in prefixes:
        patches = state.shape[1] - prefix
        stride = round(math.sqrt(size[0] * size[1] / patches)) if patches > 0 else 0
        if stride and (size[0] // stride) * (size[1] // stride) == patches:
            return fold_tokens(state, (size[0] // stride, size[1] // stride), prefix=prefix)
    raise ValueError(f"expected tokens of a {size[0]} x {size[1]} image, got {tuple(state.shape)}")


def evenly(count: int) -> list[int]:
    """Four of `count` blocks at equal distances, the last among them, counted from one.

    >>> evenly(12)
    [3, 6, 9, 12]
    """
    return [-(-count * part // STAGES) for part in range(1, STAGES + 1)]


def image_multiple(settings: Mapping[str, Any]) -> int:
    """What an image's sides must be divisible by."""
    patch = settings.get("patch_size")
    return patch if settings["model_type"] in _PLAIN and isinstance(patch, int) else _COARSEST


def _prefixes(settings: Mapping[str, Any]) -> tuple[int, ...]:
    special = 1 + int(settings.get("num_register_tokens") or 0)
    return (special, special + int(settings.get("num_queries") or 0), 0)
