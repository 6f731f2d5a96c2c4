"""Masked distillation: compare the networks region by region, where learned tokens on the teacher find the regions.

L = 1/(2 b n c) * sum_n sum_c sum_i M[n, i]^2 (s[c, i] - t[c, i])^2 / (e + sum_i M[n, i])          (segmentation)
L = 1/(b c) * sum_n pi[n] sum_c sum_i M[n, i]^2 (s[c, i] - t[c, i])^2 / sum_i M[n, i]              (detection)

Symbols: s the student's projected feature (or logits), t the teacher's (b c *grid), M masks (b n *grid) and pi weights
of n tokens, see `receptive_tokens`; e = EMPTY_GUARD. The mask is squared because it multiplies both sides.
Stage 1 trains the tokens on the frozen teacher: t is replaced by sum_n pi[n] M[n] t in its path, and the teacher's own
cross-entropy plus the masks' diversity is minimised; then they are frozen.
Source: Huang et al. 2023, "Masked distillation with receptive tokens", section 3; hunto/MasKD @ b5af34f, segmentation
`losses/maskd.py` and the mmrazor loss for detection.
Changed: features by default, as the paper; the public segmentation code distils logits (`tap=None`). The teacher stays
in eval mode; the auxiliary heads take no part. Tokens that were never adapted are refused.
Cost: the sum over tokens is taken first, so one map of one channel and one of c channels stand in place of n*c.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.errors import ConfigurationError
from foglight.functional.binary import at_least_two_classes
from foglight.functional.cross_entropy import cross_entropy_at_label_grid, label_mass
from foglight.functional.resize import resize
from foglight.losses.base import Card, TeacherAdapted
from foglight.losses.connectors import connector
from foglight.losses.expect import expect_same_classes, expect_teacher
from foglight.losses.logits.cwd import chosen_taps
from foglight.losses.receptive_tokens import ReceptiveTokens
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

Form = Literal["segmentation", "detection"]

# A token that finds nothing in an image must not divide by zero; the published constant of the segmentation form.
EMPTY_GUARD: Final = 1e-5


def region_weights(
    masks: Float[Tensor, "b n *grid"], weights: Float[Tensor, "b n"], *, guard: float
) -> Float[Tensor, "b 1 *grid"]:
    """What the squared difference at a position counts over all regions: sum_n weights M^2 / (sum_i M + guard).

    Args:
        masks: of every token.
        weights: of every token.
        guard: added to the size of a region; the smallest normal number stands in for 0.

    >>> region_weights(torch.ones(1, 1, 2, 2), torch.ones(1, 1), guard=0.0)
    tensor([[[[0.2500, 0.2500],
              [0.2500, 0.2500]]]])
    """
    flat = masks.reshape(*masks.shape[:2], -1)
    size = flat.sum(-1) + max(guard, torch.finfo(masks.dtype).tiny)
    # As M * (M / size), since the square of a small mask underflows long before its share of the region does.
    counts = torch.einsum("bni,bni->bi", flat, flat * (weights / size).unsqueeze(-1))
    return counts.view(len(masks), 1, *masks.shape[2:])


@final
class MasKD(TeacherAdapted):
    """Squared differences in regions that learned tokens find in the teacher's feature: term `maskd`.

    Args:
        student: whose feature, or whose logits, are trained.
        teacher: on which the tokens are learned.
        tap: of both networks; None distils the logits, as the public segmentation code does.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        tokens: n.
        form: with the mean over tokens, the factor 1/2 and EMPTY_GUARD, or the weighted sum without these.
        weigh_tokens: learn pi; None does so in the detection form only. Without it pi is 1/n.
        student_masks_from: the step from which the masks are multiplied by those of the student's feature, without a
            gradient through them; None for never, published: 7330.
        adapt_steps: of the stage on the teacher.
        allow_random_tokens: go on with tokens that were never adapted.
    """

    card: ClassVar[Card] = Card(
        title="Squared differences in regions that learned tokens find in the teacher's feature.",
        equation="1/(2 b n c) sum_n sum_c sum_i M_n^2 (s - t)^2 / (e + sum_i M_n), M_n = sigmoid(E_n . t)",
        source="Huang et al., Masked distillation with receptive tokens, ICLR 2023, section 3",
        implementation="hunto/MasKD @ b5af34f: segmentation losses (logits) and the mmrazor loss (form='detection')",
        deviations="features by default as in the paper; teacher in eval mode; no auxiliary heads; AdamW in the stage",
        cost="n*c parameters (weights of tokens 9 c^2 + n c more); (c + n + 1) b h w numbers instead of n c b h w",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str | None = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        tokens: int = 8,
        form: Form = "segmentation",
        weigh_tokens: bool | None = None,
        student_masks_from: int | None = None,
        adapt_steps: int = 10_000,
        allow_random_tokens: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "maskd")
        if adapt_steps < 1:
            raise ValueError(f"expected adapt_steps >= 1, got {adapt_steps}; tokens that are not learned find nothing")
        self.taps = chosen_taps(tap, student_tap, teacher_tap)
        self.requires = Requires(teacher=True)
        if self.taps is None:
            expect_same_classes(student, teacher, "maskd")
            channels = projected = teacher.num_classes
        else:
            channels, projected = student.tap(self.taps[0]).channels, teacher.tap(self.taps[1]).channels
            self.requires |= Requires(frozenset([self.taps[0]]), frozenset([self.taps[1]]))
        self.connector = connector(channels, projected, bias=True)
        weighted = form == "detection" if weigh_tokens is None else weigh_tokens
        self.adapt_modules = nn.ModuleList([ReceptiveTokens(tokens, projected, weighted=weighted)])
        self.align_corners = teacher.align_corners
        self.form: Form = form
        self.student_masks_from = student_masks_from
        self.adapt_steps = adapt_steps
        self.allow_random_tokens = allow_random_tokens

    @property
    def tokens(self) -> ReceptiveTokens:
        """What the stage on the teacher trains."""
        (tokens,) = self.adapt_modules
        assert isinstance(tokens, ReceptiveTokens)
        return tokens

    @property
    def insertions(self) -> Mapping[str, nn.Module]:
        """The masked feature stands in the teacher's path; masked logits need no path."""
        return MappingProxyType({} if self.taps is None else {self.taps[1]: self.tokens})

    def adapt_loss(self, teacher: ModelOutput, batch: Batch) -> Tensor:
        """The cross-entropy of the masked teacher plus the diversity of the masks."""
        tokens = self.tokens
        tokens.learned.fill_(True)
        logits = teacher.logits if self.taps is not None else tokens(teacher.logits)
        valid, label = batch.valid, batch.label
        assert label is not None
        values = cross_entropy_at_label_grid(
            at_least_two_classes(logits), label, align_corners=self.align_corners, ignore_index=batch.ignore_index
        )
        mass = label_mass(label, valid, ignore_index=batch.ignore_index, dtype=values.dtype)
        return torch.where(valid.unsqueeze(1), values, 0.0).sum() / mass + tokens.take_diversity()

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The squared difference, region by region."""
        if not (self.allow_random_tokens or self.tokens.learned):
            raise ConfigurationError(
                "`maskd` has tokens that were never learned on the teacher, whose masks find nothing",
                remedy="run the adaptation stage first (`foglight distill` does), or set `allow_random_tokens: true`",
            )
        ours, theirs = self._pair(student, expect_teacher(teacher, "maskd"))
        counts = self._region_weights(ours.detach(), theirs.detach(), batch.step)
        squares = (ours - theirs.detach()).square().mean(1, keepdim=True)
        return {"maskd": (counts * squares).sum() / len(ours)}

    def _pair(
        self, student: ModelOutput, teacher: ModelOutput
    ) -> tuple[Float[Tensor, "b c *grid"], Float[Tensor, "b c *grid"]]:
        if self.taps is None:
            size = student.logits.shape[2:]
            return student.logits, resize(teacher.logits, size, align_corners=self.align_corners)
        ours, theirs = student.features[self.taps[0]], teacher.features[self.taps[1]]
        return self.connector(ours), resize(theirs, ours.shape[2:], align_corners=False)

    # The masks say where to look; nothing is learned through them.
    @torch.no_grad()
    def _region_weights(
        self, ours: Float[Tensor, "b c *grid"], theirs: Float[Tensor, "b c *grid"], step: int
    ) -> Float[Tensor, "b 1 *grid"]:
        masks, weights = self.tokens.masks(theirs), self.tokens.weights(theirs)
        if self.student_masks_from is not None and step >= self.student_masks_from:
            masks = masks * self.tokens.masks(ours)
        if weights is None:
            weights = masks.new_full(masks.shape[:2], 1 / masks.shape[1])
        if self.form == "detection":
            return region_weights(masks, weights, guard=0.0)
        return region_weights(masks, weights / 2, guard=EMPTY_GUARD)
