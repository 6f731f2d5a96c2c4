"""Masked generative distillation: from a randomly masked student feature, a small network rebuilds the teacher's.

L = alpha / b * sum_c sum_i (G(m f)[c, i] - t[c, i])^2,  G = conv3x3 - ReLU - conv3x3

Symbols: f the student's projected feature and t the teacher's (b c h w), m a mask of zeros and ones: one per position,
shared by the channels (b 1 h w), or one per channel (b c 1 1); a share `mask_ratio` of it is zero on average.
Source: Yang et al. 2022, "Masked generative distillation", ECCV; yzd-v/MGD, segmentation `losses/mgd.py`; the
channel form is that of its classification half.
Changed: the generator belongs to the loss and not to the student, so that it is not exported; `scale_alpha`; the mask
is drawn from the batch's own generator. alpha belongs to a sum over the map: 2e-5 was tuned on 2048 x 64 x 64.
Published runs add channel-wise distillation of the logits at weight 3: name `cwd` beside it.
Cost: 18*c^2 + 2*c parameters and four maps of the size of t; a 1x1 connector with bias where channels differ.
"""

from typing import ClassVar, Final, Literal, final

from jaxtyping import Bool, Float
from torch import Tensor, nn

from foglight.functional.masking import taught_positions
from foglight.functional.resize import resize
from foglight.losses.base import Card, PixelLoss, PixelMap
from foglight.losses.connectors import connector
from foglight.losses.expect import expect_positive, expect_teacher
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

Mask = Literal["position", "channel"]

# Numbers in the map (2048 x 64 x 64) on which the published alpha was tuned.
PUBLISHED_MAP: Final = 2048 * 64 * 64


def kept(uniform: Float[Tensor, "b c h w"], *, mask_ratio: float, mask: Mask) -> Bool[Tensor, "b c h w"]:
    """What stays visible: the two published halves drop from opposite ends of [0, 1).

    >>> import torch
    >>> kept(torch.tensor([[[[0.1, 0.9]]]]), mask_ratio=0.75, mask="position").flatten().tolist()
    [True, False]
    """
    return uniform <= 1 - mask_ratio if mask == "position" else uniform >= mask_ratio


@final
class MGD(PixelLoss):
    """The squared error of the teacher's feature rebuilt from the student's masked one: term `mgd`.

    Args:
        student: whose feature is trained.
        teacher: whose feature is rebuilt.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        mask_ratio: share that is dropped; 0.75 for segmentation, 0.65 for detection, 0.15 for classification.
        alpha: factor of the sum; 2e-5, or 7e-5 for classification.
        scale_alpha: multiply alpha by 2048*64*64 / (c*h*w), which keeps the published strength on other maps.
        mask: drop positions, or channels as for classification.
        mask_ignored: leave out positions whose label is ignored; unlabelled images stay in.
    """

    card: ClassVar[Card] = Card(
        title="The teacher's feature is rebuilt from a randomly masked feature of the student.",
        equation="alpha / b sum_c sum_i (G(m f) - t)^2, G = conv3x3 - ReLU - conv3x3, m zero on a share of positions",
        source="Yang et al., Masked generative distillation, ECCV 2022, section 3",
        implementation="yzd-v/MGD, segmentation losses/mgd.py; mask='channel' is its classification half",
        deviations="the generator stays in the loss; teacher resized where grids differ; scale_alpha",
        cost="18 c^2 + 2c parameters and four maps of the size of t; a 1x1 connector where channels differ",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        mask_ratio: float = 0.75,
        alpha: float = 2e-5,
        scale_alpha: bool = False,
        mask: Mask = "position",
        mask_ignored: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "mgd")
        expect_positive(alpha, "alpha")
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"expected mask_ratio in [0, 1), got {mask_ratio}; with 1 the student is never seen")
        self.taps = (student_tap or tap, teacher_tap or tap)
        self.requires = Requires(frozenset([self.taps[0]]), frozenset([self.taps[1]]), teacher=True)
        channels = teacher.tap(self.taps[1]).channels
        self.connector = connector(student.tap(self.taps[0]).channels, channels, bias=True)
        self.generator = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )
        self.mask_ratio = mask_ratio
        self.alpha = alpha
        self.scale_alpha = scale_alpha
        self.mask: Mask = mask
        self.mask_ignored = mask_ignored

    def pixel_maps(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, PixelMap]:
        """The squared error per channel and position, those that were masked included."""
        ours: Tensor = self.connector(student.features[self.taps[0]])
        theirs = expect_teacher(teacher, "mgd").features[self.taps[1]].detach()
        theirs = resize(theirs, ours.shape[2:], align_corners=False)
        valid = taught_positions(ours, batch, mask_ignored=self.mask_ignored)
        values = self._alpha(ours) * (self._rebuilt(ours, batch) - theirs).square()
        denominator = values.new_tensor(len(values))
        return {"mgd": PixelMap(values, valid, denominator, "none", channels_are_classes=False)}

    def _rebuilt(self, ours: Float[Tensor, "b c *grid"], batch: Batch) -> Float[Tensor, "b c *grid"]:
        feature = ours if ours.ndim == 4 else ours[..., None, None]
        images, channels, *grid = feature.shape
        shape = (images, 1, *grid) if self.mask == "position" else (images, channels, 1, 1)
        uniform = self.draw(batch, {"mask": shape})["mask"]
        visible = feature * kept(uniform, mask_ratio=self.mask_ratio, mask=self.mask)
        rebuilt: Tensor = self.generator(visible)
        return rebuilt.view_as(ours)

    def _alpha(self, ours: Float[Tensor, "b c *grid"]) -> float:
        return self.alpha * (PUBLISHED_MAP / ours[0].numel() if self.scale_alpha else 1.0)
