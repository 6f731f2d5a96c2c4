"""Holistic distillation: a discriminator cannot tell the student's logits from the teacher's.

L_S = -mean D(z_S)
hinge: L_D = mean relu(1 - D(z_T)) + mean relu(1 + D(z_S))
WGAN-GP: L_D = mean D(z_S) - mean D(z_T) + lambda * mean_b (||grad_x sum D(x)||_2 - 1)^2,  x = a z_T + (1 - a) z_S

Symbols: z logits (b k h w), D the discriminator, a uniform in [0, 1) per image, lambda the penalty's weight.
Source: Liu et al. 2019, "Structured knowledge distillation for semantic segmentation", eq. 4; CIRKD
`losses/adv.py` @ 2d8ad0f (hinge); irfanICMLL/structure_knowledge_distillation `utils/criterion.py` @ ce208e1 and
YukangWang/IFVD @ 950a7a5 (WGAN-GP).
Changed: logits below 64 positions along a side are enlarged to that, both networks' alike, before D sees them;
published code crashes there. The discriminator exists only where this loss is asked for.
Cost: three passes of D per step, and a fourth that is differentiated twice for WGAN-GP; see `losses/discriminator.py`.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.functional.resize import resize
from foglight.losses.base import AdversarialLoss, Card
from foglight.losses.discriminator import SMALLEST, Discriminator
from foglight.losses.expect import expect_positive, expect_same_classes, expect_teacher
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

Form = Literal["hinge", "wgan-gp"]


def hinge(student: Float[Tensor, "*scores"], teacher: Float[Tensor, "*scores"]) -> Float[Tensor, ""]:
    """What the discriminator minimises until its scores are beyond -1 and 1.

    >>> hinge(torch.tensor([-2.0]), torch.tensor([0.5])).item()
    0.5
    """
    return torch.relu(1 - teacher).mean() + torch.relu(1 + student).mean()


def wasserstein(student: Float[Tensor, "*scores"], teacher: Float[Tensor, "*scores"]) -> Float[Tensor, ""]:
    """Minus the distance between the two means that a critic of slope one sees."""
    return student.mean() - teacher.mean()


def deceived(student: Float[Tensor, "*scores"]) -> Float[Tensor, ""]:
    """What the student minimises, in both forms."""
    return -student.mean()


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    student: Float[Tensor, "b k h w"],
    teacher: Float[Tensor, "b k h w"],
    share: Float[Tensor, " b"],
) -> Float[Tensor, ""]:
    """How far the critic's slope is from one between the two networks' logits, squared, mean over images.

    Args:
        discriminator: from logits to scores.
        student: one end of the line.
        teacher: the other end.
        share: of the teacher in the point on the line, per image.
    """
    share = share.view(-1, 1, 1, 1)
    point = (share * teacher + (1 - share) * student).detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(point).sum(), point, create_graph=True)
    return (torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1).square().mean()


def enlarged(size: Sequence[int], *, smallest: int) -> tuple[int, int]:
    """The size with both sides in proportion and the shorter one at least `smallest`.

    >>> enlarged((45, 60), smallest=64), enlarged((64, 128), smallest=64)
    ((64, 86), (64, 128))
    """
    height, width = size
    short = min(height, width)
    if short >= smallest:
        return height, width
    # Exact integers, rounded up: a float factor could end one position short.
    return -(-height * smallest // short), -(-width * smallest // short)


@final
class SKDHolistic(AdversarialLoss):
    """A discriminator on logits: term `skd_holistic`.

    Args:
        student: whose logits are trained.
        teacher: of as many classes.
        form: of the discriminator's loss.
        width: channels of the discriminator's first convolution.
        penalty: lambda, weight of the gradient penalty of `wgan-gp`.
        discriminator_weight: factor of the discriminator's loss, against its own optimiser's learning rate.

    Raises:
        ValueError: if there is no teacher or it tells other classes apart, or logits have no grid.
    """

    card: ClassVar[Card] = Card(
        title="A discriminator cannot tell the student's logits from the teacher's.",
        equation="-mean D(z_S); D minimises mean relu(1 - D(z_T)) + mean relu(1 + D(z_S)), or the Wasserstein form "
        "with a gradient penalty",
        source="Liu et al., Structured knowledge distillation for semantic segmentation, CVPR 2019, eq. 4; Zhang et "
        "al., Self-attention generative adversarial networks, ICML 2019",
        implementation="winycg/CIRKD losses/adv.py and utils/sagan.py @ 2d8ad0f; "
        "irfanICMLL/structure_knowledge_distillation utils/criterion.py @ ce208e1; YukangWang/IFVD @ 950a7a5",
        deviations="logits shorter than 64 positions are enlarged, published code crashes; spectral norms stand still "
        "in evaluation; D is not conditioned on the image, as in all public code",
        cost="2.8 M parameters, three or four passes of D per step at 0.1 G multiply-adds per 64 x 64 logits",
        tier="for comparison",
        may_be_negative=frozenset({"skd_holistic"}),
        masks_ignored=False,
    )

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        form: Form = "hinge",
        width: int = 64,
        penalty: float = 10.0,
        discriminator_weight: float = 0.1,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "skd_holistic")
        expect_same_classes(student, teacher, "skd_holistic")
        expect_positive(discriminator_weight, "discriminator_weight")
        if student.stride == 0:
            raise ValueError("expected logits with a grid for `skd_holistic`, got those of classification; use `kd`")
        self.requires = Requires(teacher=True)
        self.discriminator: nn.Module = Discriminator(student.num_classes, width=width)
        self.align_corners = (student.align_corners, teacher.align_corners)
        self.form: Form = form
        self.penalty = penalty
        self.discriminator_weight = discriminator_weight

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Small where the discriminator takes the student's logits for the teacher's."""
        size = enlarged(student.logits.shape[2:], smallest=SMALLEST)
        logits = resize(student.logits, size, align_corners=self.align_corners[0])
        return {"skd_holistic": deceived(self.discriminator(logits))}

    def discriminator_loss(self, student: ModelOutput, teacher: ModelOutput, batch: Batch) -> Tensor:
        """What the discriminator minimises, times its weight; `student` is detached."""
        size = enlarged(student.logits.shape[2:], smallest=SMALLEST)
        fake, real = (
            resize(output.logits.detach(), size, align_corners=align_corners)
            for output, align_corners in zip((student, teacher), self.align_corners, strict=True)
        )
        real_scores, fake_scores = self.discriminator(real), self.discriminator(fake)
        if self.form == "hinge":
            return self.discriminator_weight * hinge(fake_scores, real_scores)
        share = self.draw(batch, {"share": (len(fake),)})["share"].to(fake)
        penalty = gradient_penalty(self.discriminator, fake, real, share)
        return self.discriminator_weight * (wasserstein(fake_scores, real_scores) + self.penalty * penalty)
