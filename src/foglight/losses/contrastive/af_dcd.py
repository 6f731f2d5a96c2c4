"""Af-DCD: the teacher's feature is rebuilt from a masked student feature, and told from itself piece by piece.

f = G(keep * A f_S);  fd = 1/b * sum (f - f_T)^2;  ctr = contrast inside patches of pooled f and f_T

Symbols: f_S student feature (b c_S h w), f_T teacher feature (b c h w), A a 1x1 convolution with bias where channels
differ, keep a mask of 0 and 1 (b 1 h w), G two 3x3 convolutions; the contrast is that of `_omni_contrast.py`.
Source: Fan et al., "Augmentation-free dense contrastive knowledge distillation for efficient semantic segmentation",
NeurIPS 2023; OSVAI/Af-DCD `losses/ocmgd.py` @ 5b086a7.
Changed: a pair of equal channels and maps of any size run, published code stops there; the modes `spatial`, `channel`
and `omni` are read from the paper's figure, the released code has `omni_code` alone; the centre mask can be chosen,
the released option cannot be set.
Cost: 18*c^2 + c_S*c parameters (36*c^2 with `enhanced`): 75 M at c = 2048; six maps of c channels.
"""

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.losses.base import Card, DistillationLoss, ParameterGroup
from foglight.losses.connectors import connector
from foglight.losses.contrastive._omni_contrast import Mode, omni_contrast
from foglight.losses.expect import expect_positive
from foglight.losses.feature_pair import FeaturePair
from foglight.types import Batch, ModelInfo, ModelOutput


def centre_mask(height: int, width: int) -> Float[Tensor, "h w"]:
    """Zero in the middle third of either axis, one elsewhere.

    >>> centre_mask(3, 3).sum().item()
    8.0
    """
    keep = torch.ones(height, width)
    keep[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 0
    return keep


def pooled(feature: Float[Tensor, "b c h w"], *, pool: int, crop: int | None) -> Float[Tensor, "b c ph pw"]:
    """The first `crop` rows and columns, then maxima over cells of pool x pool positions (less on a smaller map)."""
    if crop is not None:
        feature = feature[:, :, :crop, :crop]
    return F.max_pool2d(feature, min(pool, *feature.shape[2:]))


@final
class EnhancedGenerator(nn.Module):
    """The mean of a shallow and a deep path: (V1 a + V2 b) / 2 with a = relu(W1 x) and b = relu(W2 a), all 3x3.

    Args:
        channels: of the input and of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second, self.shallow, self.deep = (
            nn.Conv2d(channels, channels, kernel_size=3, padding=1) for _ in range(4)
        )

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The rebuilt feature."""
        first = F.relu(self.first(feature))
        return (self.shallow(first) + self.deep(F.relu(self.second(first)))) / 2


def generator(channels: int, *, enhanced: bool) -> nn.Module:
    """What rebuilds a masked feature."""
    if enhanced:
        return EnhancedGenerator(channels)
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
    )


@final
class AfDCD(DistillationLoss):
    """Masked reconstruction and contrast inside patches: terms `fd` and `ctr` (published weights by data set).

    Args:
        student: whose feature is trained.
        teacher: whose feature is rebuilt.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        mode: which pieces of the teacher's feature a piece of the student's is told from.
        temperature: tau of the contrast.
        groups: of channels.
        patch: rows and columns of a patch of the pooled map.
        pool: positions along one side of a cell whose maximum is contrasted; 1 for CamVid.
        crop: rows and columns that are contrasted; 44 for CamVid, None for all.
        mask: random positions, or the middle third of either axis.
        mask_ratio: share of positions that a random mask hides.
        enhanced: the two-path generator of the Cityscapes ResNet-18 recipe.
        clip_norm: largest gradient norm of this loss's own parameters, None for no clipping.
    """

    card: ClassVar[Card] = Card(
        title="The teacher's feature is rebuilt from a masked student feature, and told from itself piece by piece.",
        equation="fd = 1/b sum (f - f_T)^2, f = G(mask * A f_S); ctr = mean over positions, sum over groups, of "
        "-log softmax(-|f_v - f_T_v'|_1 / tau) at v' = v",
        source="Fan et al., Augmentation-free dense contrastive knowledge distillation for efficient semantic "
        "segmentation, NeurIPS 2023",
        implementation="OSVAI/Af-DCD losses/ocmgd.py::OmniContrastiveFeatureLoss @ 5b086a7",
        deviations="runs with equal channels and on maps of any size; modes spatial, channel and omni are our reading "
        "of the paper's figure, omni_code is the released code",
        cost="18*c^2 + c_S*c parameters (36*c^2 enhanced); six maps of b*c*h*w; distances in strips of a fixed budget",
        tier="supported",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str = "layer4",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        mode: Mode = "omni_code",
        temperature: float = 0.07,
        groups: int = 16,
        patch: tuple[int, int] = (4, 4),
        pool: int = 4,
        crop: int | None = None,
        mask: Literal["random", "centre"] = "random",
        mask_ratio: float = 0.75,
        enhanced: bool = False,
        clip_norm: float | None = 15.0,
    ) -> None:
        super().__init__()
        self.pair = FeaturePair(
            student, teacher, "af_dcd", student_tap=student_tap or tap, teacher_tap=teacher_tap or tap
        )
        self.requires = self.pair.requires
        expect_positive(temperature, "temperature")
        expect_positive(float(min(groups, *patch, pool, 1 if crop is None else crop)), "groups, patch, pool and crop")
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"expected mask_ratio in [0, 1), got {mask_ratio}")
        self.align = connector(*self.pair.channels, bias=True)
        self.generator = generator(self.pair.channels[1], enhanced=enhanced)
        self.mode: Mode = mode
        self.temperature, self.groups, self.patch = temperature, groups, patch
        self.pool, self.crop = pool, crop
        self.mask: Literal["random", "centre"] = mask
        self.mask_ratio = mask_ratio
        self.clip_norm = clip_norm

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Both terms."""
        ours, theirs = self.pair(student, teacher)
        rebuilt: Tensor = self.generator(self.align(ours) * self._keep(ours, batch))
        contrasted = (pooled(feature, pool=self.pool, crop=self.crop) for feature in (rebuilt, theirs))
        return {
            "fd": (rebuilt - theirs).square().sum() / len(rebuilt),
            "ctr": omni_contrast(
                *contrasted, mode=self.mode, groups=self.groups, patch=self.patch, temperature=self.temperature
            ),
        }

    def optimiser_groups(self) -> list[ParameterGroup]:
        """One group, clipped by itself as in the published loop."""
        return [ParameterGroup(tuple(self.parameters()), clip_norm=self.clip_norm)]

    def _keep(self, feature: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "#b 1 h w"]:
        height, width = feature.shape[2:]
        if self.mask == "centre":
            return centre_mask(height, width).to(feature)[None, None]
        drawn = self.draw(batch, {"mask": (len(feature), 1, height, width)})["mask"]
        return (drawn <= 1 - self.mask_ratio).to(feature.dtype)
