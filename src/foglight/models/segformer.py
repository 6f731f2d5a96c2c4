"""SegFormer on a mix transformer, built by the transformers library and not by its checkpoints.

    logits = classifier(dropout(relu(bn(fuse([up(linear_i(stage_i(image)))])))))     i = 1..4 at strides 4, 8, 16, 32

The logits stand on the grid of stage 1, stride 4; one dropout lies in the path to them and feeds the classifier, so
that the closed form of MC dropout is complete. `hidden_dropout` adds dropout inside every block of the encoder, which
is then sampled.

Source: Xie et al., SegFormer (NeurIPS 2021); the student (MiT-B0, 3.72 M with 19 classes) and teacher (MiT-B4, 64.0 M)
of FOTF's experiments, which trained all baselines again with a dropout of 0.1; `dropout: 0` is the one without. Needs
`pip install foglight[hf]`. What we changed: nothing but names.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, final

from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import ConfigurationError
from foglight.models.segmentation_module import SegmentationModule

if TYPE_CHECKING:
    from transformers import SegformerForSemanticSegmentation

_STAGES: Final = 4


@final
class SegFormer(SegmentationModule):
    """Encoder and head of a transformers model, with its four stages as taps.

    Args:
        built: the whole model; only its parts are kept.
    """

    # As CIRKD, in whose framework FOTF trained it, resizes; SegFormer's own code does not align corners.
    align_corners = True

    def __init__(self, built: "SegformerForSemanticSegmentation") -> None:
        super().__init__()
        self.encoder: Any = built.segformer
        self.stages = nn.ModuleList(nn.Identity() for _ in range(_STAGES))
        self.head: Any = built.decode_head
        stages = {f"{name}{i + 1}": f"stages.{i}" for name in ("stage", "layer") for i in range(_STAGES)}
        self.tap_names = stages | {"head": "head.dropout", "head_clean": "head.dropout:in"}

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits at stride 4; there is no auxiliary head, and `extra` is not looked at."""
        # Some versions of the library hand out the image as well: the stages are the last four.
        maps = self.encoder(image, output_hidden_states=True).hidden_states[-_STAGES:]
        return self.head([stage(feature) for stage, feature in zip(self.stages, maps, strict=True)]), ()


def segformer(
    num_classes: int,
    *,
    depths: Sequence[int],
    hidden_sizes: Sequence[int],
    channels: int,
    dropout: float = 0.1,
    hidden_dropout: float = 0.0,
    drop_path: float = 0.1,
) -> SegFormer:
    """SegFormer on the mix transformer of that size, with fresh weights.

    Args:
        num_classes: k.
        depths: blocks per stage.
        hidden_sizes: channels per stage.
        channels: of the head.
        dropout: rate before the classifier.
        hidden_dropout: rate inside the encoder's blocks.
        drop_path: largest rate of stochastic depth; it grows linearly over the blocks.

    Raises:
        ConfigurationError: if the transformers library is not installed.
    """
    try:
        from transformers import SegformerConfig, SegformerForSemanticSegmentation
    except ImportError as error:
        raise ConfigurationError(
            f"SegFormer is built by the transformers library, which cannot be imported ({error})",
            remedy="pip install 'foglight[hf]'",
        ) from error
    config = SegformerConfig(
        depths=list(depths),
        hidden_sizes=list(hidden_sizes),
        decoder_hidden_size=channels,
        classifier_dropout_prob=dropout,
        hidden_dropout_prob=hidden_dropout,
        drop_path_rate=drop_path,
        num_labels=num_classes,  # pyright: ignore[reportCallIssue]  # taken by the base class
    )
    return SegFormer(SegformerForSemanticSegmentation(config))
