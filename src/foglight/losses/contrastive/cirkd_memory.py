"""CIRKD's memory bank: among stored teacher vectors of every class, the student's pixels stand where the teacher's do.

L = 1/N * sum_i kl( softmax(t_i . Q / tau) || softmax(s_i . Q / tau) ) for the keys Q of the pixel and the region queues

Symbols: s_i projected student feature, t_i teacher feature, both of unit length, at the N labelled positions; Q v keys
per class from queues (k n c) of single pixels and of class means per image, v = size // k + 1; tau temperature.
Source: Yang et al. 2022, "Cross-image relational knowledge distillation", the memory-based pixel-to-pixel and
pixel-to-region distillation; CIRKD `losses/cirkd_memory.py::StudentSegContrast` @ dab64db.
Changed: a class queue gets pixels of that class (published code draws a permutation of their number and reads the map
with it, so every queue gets the map's first pixels); queues wrap round (published: the last slots are overwritten and
the pointer jumps to 0); slots that were never written are not compared (published: random vectors). Each is behind a
`legacy_...` option. Sizes are clamped, labels need not exist. Keys are gathered over processes, already chosen, instead
of whole feature maps; each process contrasts its own pixels.
Cost: queues of k*(pixel + region slots)*c numbers, 389 MB at 19 classes, 20000 slots and c = 256, half with
`half_queues`; a projector of c_S*c + c*c; one gradient map per term; similarities in strips, never N x keys.
"""

from typing import ClassVar, Final, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foglight.functional.label_grid import label_on_grid
from foglight.functional.similarity_kl import similarity_kl
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.contrastive._class_keys import class_keys
from foglight.losses.contrastive._queues import push_over_tail, queues, sampled_keys
from foglight.losses.expect import expect_positive
from foglight.losses.feature_pair import FeaturePair
from foglight.losses.memory import RingBuffer
from foglight.losses.projector import Projector
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

GIB: Final = 2**30


@final
class CIRKDMemory(DistillationLoss):
    """Pixel-to-pixel and pixel-to-region contrast with a memory bank: terms `memory_pixel` and `memory_region`.

    Args:
        student: whose feature is trained.
        teacher: whose vectors are stored.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        temperature: tau.
        pixel_memory_size: slots per class; 2000 for SegFormer.
        region_memory_size: slots per class.
        pixel_contrast_size: keys of all classes together; each class gives size // classes + 1.
        region_contrast_size: likewise.
        pixel_update_size: most pixels of one class that an image puts into its queue.
        half_queues: store vectors in float16.
        gather: share keys over processes, so that all queues are equal; otherwise each keeps its own.
        largest_queues: GiB; larger queues are refused before they are allocated.
        legacy_indexing: published pixel choice, whatever class those pixels have.
        legacy_wrap: published wrap-around.
        legacy_unfilled: queues begin full of random vectors, which are compared like any other.
    """

    card: ClassVar[Card] = Card(
        title="Among stored teacher vectors of every class, the student's pixels stand where the teacher's do.",
        equation="1/N sum_i kl(softmax(t_i . Q / tau) || softmax(s_i . Q / tau)), Q keys of pixels, of regions",
        source="Yang et al., Cross-image relational knowledge distillation for semantic segmentation, CVPR 2022, "
        "memory-based pixel-to-pixel and pixel-to-region distillation",
        implementation="winycg/CIRKD losses/cirkd_memory.py::StudentSegContrast @ dab64db",
        deviations="correct class indexing, true ring buffer, unwritten slots left out (legacy_indexing, legacy_wrap, "
        "legacy_unfilled restore the published forms); ordinary BatchNorm in the projector, which sees ignored pixels "
        "as the published one does",
        cost="queues of k*(pixel + region slots)*c numbers; a projector of c_S*c + c*c; one map of b*c*h*w per term; "
        "similarities in strips of a fixed budget instead of N x keys",
        tier="supported",
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
        pixel_memory_size: int = 20000,
        region_memory_size: int = 2000,
        pixel_contrast_size: int = 4096,
        region_contrast_size: int = 1024,
        pixel_update_size: int = 16,
        half_queues: bool = False,
        gather: bool = True,
        largest_queues: float = 8.0,
        legacy_indexing: bool = False,
        legacy_wrap: bool = False,
        legacy_unfilled: bool = False,
    ) -> None:
        super().__init__()
        self.pair = FeaturePair(
            student, teacher, "cirkd_memory", student_tap=student_tap or tap, teacher_tap=teacher_tap or tap
        )
        self.requires = self.pair.requires | Requires(label=True)
        expect_positive(temperature, "temperature")
        self.classes, channels = student.num_classes, self.pair.channels[1]
        numbers = self.classes * (pixel_memory_size + region_memory_size) * channels
        _expect_fits(numbers * (2 if half_queues else 4) / GIB, largest_queues)
        self.projector = Projector(*self.pair.channels)
        self.pixels, self.regions = (
            queues(self.classes, slots, channels, full=legacy_unfilled, half=half_queues)
            for slots in (pixel_memory_size, region_memory_size)
        )
        self.temperature = temperature
        self.keys_per_class = (pixel_contrast_size // self.classes + 1, region_contrast_size // self.classes + 1)
        expect_positive(float(min(*self.keys_per_class, pixel_update_size)), "the contrast and update sizes")
        self.pixel_update_size, self.gather = pixel_update_size, gather
        self.legacy_indexing, self.legacy_wrap = legacy_indexing, legacy_wrap

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """Both terms; in training the batch's own vectors are stored first, so that they are among the keys."""
        feature, taught = self.pair(student, teacher)
        label, valid = label_on_grid(feature, batch)
        if self.training:
            self._store(taught, label, valid, batch)
        slots = {"pixel": self.pixels.vectors.shape[1:2], "region": self.regions.vectors.shape[1:2]}
        order = self.draw(batch, slots)
        projected = self.projector(feature)
        terms: dict[str, Tensor] = {}
        for name, memory, number in zip(slots, (self.pixels, self.regions), self.keys_per_class, strict=True):
            keys = sampled_keys(memory, order[name], per_class=number)
            terms[f"memory_{name}"] = similarity_kl(projected, taught, keys, valid, temperature=self.temperature)
        return terms

    @torch.no_grad()
    def _store(
        self,
        taught: Float[Tensor, "b c h w"],
        label: Int[Tensor, "b h w"],
        valid: Bool[Tensor, "b h w"],
        batch: Batch,
    ) -> None:
        order = self.draw(batch, {"store": (len(label), label[0].numel())})["store"]
        member = label.flatten(1).unsqueeze(1) == torch.arange(self.classes, device=label.device).unsqueeze(1)
        member &= valid.flatten(1).unsqueeze(1)
        wanted = min(self.pixel_update_size, self.pixels.vectors.shape[1])
        keys = class_keys(taught.flatten(2), member, order, per_class=wanted, legacy_indexing=self.legacy_indexing)
        if self.gather:
            keys = keys.gathered()
        for index, regions, pixels in keys.by_class():
            self.regions.push(index, torch.stack(regions))
            # Published wrap-around depends on where one image's pixels end and the next one's begin.
            for vectors in pixels if self.legacy_wrap else [torch.cat(pixels)]:
                push = push_over_tail if self.legacy_wrap else RingBuffer.push
                push(self.pixels, index, vectors)


def _expect_fits(gib: float, largest: float) -> None:
    if gib > largest:
        raise ValueError(
            f"expected queues of at most {largest:g} GiB (`largest_queues`), got {gib:.3g} GiB; "
            "lower pixel_memory_size, store them with half_queues, or raise that limit"
        )
