"""Avatar knowledge distillation: the teacher as an ensemble of its own perturbations, on top of another feature loss.

L = 1/n * sum_j inner(BN_S(f), BN_T(d_j * t)),  d_j = (u_j >= p) / (1 - p)

Symbols: f the student's projected feature and t the teacher's (b c *grid), u_j uniform in [0, 1) per element, p the
rate of the dropout, BN batch normalisations without scale and shift and with statistics of their own, inner one of
`cwd`, `mgd` and `maskd`, n the avatars of one step (1: the ensemble is over the steps).
Source: Zhang et al. 2023, "Avatar knowledge distillation: self-ensemble teacher paradigm with uncertainty", ACM MM;
Gumpest/AvatarKD `akd_cwd.py`, `akd_mgd.py`, `akd_maskd.py`.
Changed: one BN per network, where the public code lets both share running statistics; both sides are normalised in
every form, where the public `cwd` form drops the teacher's normalised map (`normalise_teacher=False`). The published
uncertainty factor has no code of its own; batch normalisation stands for it, as there.
Cost: that of the inner loss n times, and two maps of the size of t; a 1x1 connector where channels differ.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.functional.resize import resize
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.batch_norm import BatchNorm
from foglight.losses.connectors import connector
from foglight.losses.expect import expect_teacher
from foglight.losses.registry import build_loss
from foglight.types import Batch, ModelInfo, ModelOutput, Requires, TapInfo

Inner = Literal["cwd", "mgd", "maskd"]

# What the published configurations of the inner losses set.
PUBLISHED: Final[Mapping[Inner, Mapping[str, Any]]] = MappingProxyType(
    {
        "cwd": MappingProxyType({"temperature": 1.0}),
        "mgd": MappingProxyType({"mask_ratio": 0.65, "alpha": 2e-5}),
        "maskd": MappingProxyType({"form": "detection"}),
    }
)


def avatar(
    feature: Float[Tensor, "b c *grid"], uniform: Float[Tensor, "b c *grid"], *, rate: float
) -> Float[Tensor, "b c *grid"]:
    """The feature under one dropout mask, with its mean kept.

    >>> avatar(torch.ones(1, 2), torch.tensor([[0.1, 0.9]]), rate=0.5)
    tensor([[0., 2.]])
    """
    return torch.where(uniform < rate, 0.0, feature / (1 - rate))


@final
class Avatar(DistillationLoss):
    """Another feature loss on perturbations of the teacher: the terms of that loss.

    Args:
        student: whose feature is trained.
        teacher: whose feature is perturbed.
        method: the inner loss; `maskd` first learns its tokens on the plain teacher.
        options: of the inner loss, over its published ones; its taps are ours.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        rate: p.
        avatars: n, averaged in one step.
        normalise_teacher: batch-normalise the perturbed feature too.
    """

    card: ClassVar[Card] = Card(
        title="Another feature loss is averaged over random perturbations of the teacher.",
        equation="1/n sum_j inner(BN(f), BN(dropout_j(t)))",
        source="Zhang et al., Avatar knowledge distillation: self-ensemble teacher paradigm with uncertainty, 2023",
        implementation="Gumpest/AvatarKD akd_cwd.py, akd_mgd.py, akd_maskd.py",
        deviations="statistics of their own for student and teacher; both sides normalised around `cwd` as well",
        cost="the inner loss n times, two maps of the size of t; a 1x1 connector where channels differ",
        tier="for comparison",
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        method: Inner = "cwd",
        options: Mapping[str, Any] | None = None,
        tap: str = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        rate: float = 0.1,
        avatars: int = 1,
        normalise_teacher: bool = True,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "avatar")
        if not 0 <= rate < 1:
            raise ValueError(f"expected a dropout rate in [0, 1), got {rate}; the published one is 0.1")
        if avatars < 1:
            raise ValueError(f"expected at least one avatar, got {avatars}")
        if method not in PUBLISHED:
            raise ValueError(f"expected a method of {', '.join(PUBLISHED)}, got {method!r}")
        self.taps = (student_tap or tap, teacher_tap or tap)
        self.requires = Requires(frozenset([self.taps[0]]), frozenset([self.taps[1]]), teacher=True)
        ours, theirs = student.tap(self.taps[0]), teacher.tap(self.taps[1])
        self.connector = connector(ours.channels, theirs.channels, bias=True)
        self.student_norm = BatchNorm(theirs.channels, affine=False)
        self.teacher_norm = BatchNorm(theirs.channels, affine=False) if normalise_teacher else nn.Identity()
        # Channels and grids are brought together here, before the normalisation; the inner loss sees them equal.
        aligned = replace(student, taps={self.taps[0]: TapInfo(theirs.channels, ours.stride)})
        taps = {"student_tap": self.taps[0], "teacher_tap": self.taps[1]}
        self.inner = build_loss(method, aligned, teacher, {**PUBLISHED[method], **(options or {}), **taps})
        self.rate = rate
        self.avatars = avatars

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The inner loss's terms, averaged over the avatars."""
        teacher = expect_teacher(teacher, "avatar")
        ours: Tensor = self.connector(student.features[self.taps[0]])
        theirs = resize(teacher.features[self.taps[1]].detach(), ours.shape[2:], align_corners=False)
        aligned = replace(student, features={self.taps[0]: self.student_norm(ours)})
        uniform = self.draw(batch, {f"dropout {index}": tuple(theirs.shape) for index in range(self.avatars)})
        total: dict[str, Tensor] = {}
        for drawn in uniform.values():
            perturbed = self.teacher_norm(avatar(theirs, drawn, rate=self.rate))
            for term, value in self.inner(aligned, replace(teacher, features={self.taps[1]: perturbed}), batch).items():
                total[term] = total.get(term, 0.0) + value / self.avatars
        return total
