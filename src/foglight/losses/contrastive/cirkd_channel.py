"""CIRKDv2's channel relations: a channel is similar to other channels, here and in memory, as it is in the teacher.

batch   1 / B^2 * sum_ab 1/c * sum_{i in a} kl( softmax_{j in b}(t_i . t_j / tau) || softmax_{j in b}(s_i . s_j / tau) )
memory  1 / (B c) * sum_i kl( softmax(t_i . Q / tau) || softmax(s_i . Q / tau) )
mse     mean of (s - t)^2

Symbols: s, t channels of the projected student and of the teacher, each the vector of its p pooled positions at length
one; a, b run over the B images, i and j over their c channels; Q keys from a queue of teacher channels; tau the
temperature.
Source: CIRKDv2, the extension of Yang et al. 2022, "Cross-image relational knowledge distillation"; CIRKD
`losses/cirkd_channel.py` @ dab64db, which pools the student first and projects it then, as here. Its non-local block
and its FitNet term are no part of it.
Changed: a true ring buffer whose unwritten slots are not read (`legacy_wrap`, `legacy_unfilled`); the length of a key
is set by `grid`, to which other crops are resized; keys are gathered over processes, `update_size` of all together.
Cost: a queue of slots*p numbers (20 MB at 10000 slots and p = 512); a projector of c_S*c + c*c on the pooled map;
3*B*c*p numbers of vectors and gradients; similarities in strips of a fixed budget, never (B c) x (B c).
"""

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from foglight.functional.direction import unit
from foglight.functional.gather import gather_processes
from foglight.functional.resize import resize
from foglight.functional.similarity_kl import similarity_kl
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.contrastive._queues import push_over_tail, queues, sampled_keys
from foglight.losses.expect import expect_positive
from foglight.losses.feature_pair import FeaturePair
from foglight.losses.projector import Projector
from foglight.losses.relations.cirkd_minibatch import cross_image_kl
from foglight.types import Batch, ModelInfo, ModelOutput


def pooled(feature: Float[Tensor, "b c h w"], pool: int, grid: tuple[int, int]) -> Float[Tensor, "b c gh gw"]:
    """Means over cells of pool x pool positions, then on that grid; a map smaller than a cell is only resized."""
    if min(feature.shape[2:]) >= pool:
        feature = F.avg_pool2d(feature, pool)
    return resize(feature, grid, align_corners=False)


@final
class CIRKDChannel(DistillationLoss):
    """Channel relations: terms `channel_batch`, `channel_memory` and `channel_mse` (published weights 1, 0.1 and 100).

    Args:
        student: whose feature is trained.
        teacher: whose channels are stored.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        temperature: tau.
        memory_size: slots of the queue.
        contrast_size: keys read at a time.
        update_size: most channels that a step stores.
        pool: positions along one side of an averaged cell.
        grid: rows and columns after pooling; the default is a 512x1024 crop at stride 8 in cells of 4x4.
        gather: share keys over processes, so that all queues are equal; otherwise each keeps its own.
        legacy_wrap: published wrap-around.
        legacy_unfilled: the queue begins full of random vectors, which are compared like any other.
    """

    card: ClassVar[Card] = Card(
        title="A channel is similar to other channels, in the batch and in memory, as it is in the teacher.",
        equation="mean over pairs of images of kl(softmax(t_i . t_j / tau) || softmax(s_i . s_j / tau)), the same "
        "against stored channels Q, and mean (s - t)^2",
        source="Yang et al., CIRKDv2, channel-to-channel relations",
        implementation="winycg/CIRKD losses/cirkd_channel.py @ dab64db",
        deviations="true ring buffer, unwritten slots left out (legacy_wrap, legacy_unfilled restore the published "
        "forms); crops of any size are resized to one grid of positions; ordinary BatchNorm in the projector",
        cost="a queue of slots*p numbers; a projector of c_S*c + c*c on the pooled map; 3*b*c*p numbers; similarities "
        "in strips of a fixed budget",
        tier="for comparison",
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
        temperature: float = 0.1,
        memory_size: int = 10000,
        contrast_size: int = 2048,
        update_size: int = 256,
        pool: int = 4,
        grid: tuple[int, int] = (16, 32),
        gather: bool = True,
        legacy_wrap: bool = False,
        legacy_unfilled: bool = False,
    ) -> None:
        super().__init__()
        self.pair = FeaturePair(
            student, teacher, "cirkd_channel", student_tap=student_tap or tap, teacher_tap=teacher_tap or tap
        )
        self.requires = self.pair.requires
        expect_positive(temperature, "temperature")
        expect_positive(float(min(contrast_size, update_size, pool)), "contrast_size, update_size and pool")
        self.projector = Projector(*self.pair.channels)
        self.memory = queues(1, memory_size, grid[0] * grid[1], full=legacy_unfilled, half=False)
        self.temperature = temperature
        self.contrast_size = contrast_size
        self.update_size = min(update_size, memory_size)
        self.pool, self.grid = pool, grid
        self.gather = gather
        self.push = push_over_tail if legacy_wrap else type(self.memory).push

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The three terms; in training the batch's own channels are stored first, so that they are among the keys."""
        ours, theirs = (pooled(feature, self.pool, self.grid) for feature in self.pair(student, teacher))
        ours, theirs = (unit(values.flatten(2), dim=2) for values in (self.projector(ours), theirs))
        if self.training:
            self._store(theirs.flatten(0, 1), batch)
        order = self.draw(batch, {"slots": self.memory.vectors.shape[1:2]})["slots"]
        keys = sampled_keys(self.memory, order, per_class=self.contrast_size)
        everywhere = torch.ones(ours.shape[:2], dtype=torch.bool, device=ours.device)
        return {
            "channel_batch": cross_image_kl(
                ours.flatten(0, 1), theirs.flatten(0, 1), [ours.shape[1]] * len(ours), temperature=self.temperature
            ),
            "channel_memory": similarity_kl(ours.mT, theirs.mT, keys, everywhere, temperature=self.temperature),
            "channel_mse": (ours - theirs).square().mean(),
        }

    @torch.no_grad()
    def _store(self, channels: Float[Tensor, "n p"], batch: Batch) -> None:
        order = self.draw(batch, {"store": channels.shape[:1]})["store"]
        keys = channels[order.argsort()[: self.update_size]]
        if self.gather:
            # Every process gives its share, so that a step stores as many channels as on one.
            gathered = gather_processes(keys)
            keys = gathered[:: len(gathered) // max(len(keys), 1)]
        self.push(self.memory, 0, keys)
