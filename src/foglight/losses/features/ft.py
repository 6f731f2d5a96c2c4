"""Factor transfer: the student's translated feature follows the teacher's, paraphrased by an autoencoder.

first, on the teacher alone:  L_P = mean |D(E(f_T)) - f_T|
then:                         L = 1/(b D) sum |N(T(f_S)) - N(E(f_T))|

Symbols: f_S (b c h w), f_T (b d h w); E and D, the paraphraser, three convolutions to k*d channels and three back; T,
the translator, three convolutions from c to k*d channels with BatchNorm; each convolution ends in a leaky ReLU
(slope 0.1); N makes one unit vector of an image's whole factor, D = k*d*h*w of it.
Source: Kim, Park & Kwak 2018, eq. 1-4; Jangho-Kim/Factor-Transfer-pytorch @ 19cce26; RepDistiller `distiller_zoo/FT.py`
@ b84f547 (`factor: map` and a squared reconstruction error); torchdistill `FTLoss` @ 3e4373c (`distance: norm`).
Changed: a zero factor stays zero (torchdistill divides by it); the larger factor is pooled per axis; the adaptation
uses the engine's optimiser. The value shrinks as 1/sqrt(D): the published weight 500 belongs to D = 2048.
Cost: 9 (d^2 + k d^2 + k^2 d^2) * 2 parameters for the paraphraser and 9 (c^2 + c k d + k^2 d^2) for the translator,
132 M for the former at d = 2048; `kernel_size: 1` takes a ninth. About six maps of either side's channels.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.functional.direction import unit
from foglight.functional.pooling import as_map, pool_to_smaller
from foglight.losses.base import Card, TeacherAdapted
from foglight.losses.batch_norm import BatchNorm
from foglight.losses.expect import expect_positive, expect_teacher
from foglight.losses.paired_taps import paired_taps
from foglight.losses.tap_pairs import required_taps
from foglight.types import Batch, ModelInfo, ModelOutput

Factor = Literal["whole", "map"]
Distance = Literal["absolute", "square", "norm"]
SLOPE: Final = 0.1


def normalised_factor(factor: Float[Tensor, "b d *grid"], *, kind: Factor, power: float) -> Float[Tensor, "b n"]:
    """One unit vector per image: of the whole factor, or of its mean power over channels."""
    return unit(factor.flatten(1) if kind == "whole" else factor.pow(power).mean(1).flatten(1))


def factor_distance(
    student: Float[Tensor, "b d *student_grid"],
    teacher: Float[Tensor, "b d *teacher_grid"],
    *,
    factor: Factor = "whole",
    power: float = 2.0,
    distance: Distance = "absolute",
) -> Float[Tensor, ""]:
    """How far two factors are apart, on the smaller of their grids.

    Args:
        student: translated feature.
        teacher: paraphrased feature.
        factor: compare the whole factor, or its mean power over channels (RepDistiller).
        power: of that mean.
        distance: mean absolute difference, mean square, or mean over images of the norm.

    >>> one = torch.tensor([[1.0, 0.0]])
    >>> factor_distance(one, 7 * one), factor_distance(one, one.flip(1))
    (tensor(0.), tensor(1.))
    """
    ours, theirs = (normalised_factor(each, kind=factor, power=power) for each in pool_to_smaller(student, teacher))
    difference = ours - theirs
    if distance == "norm":
        return torch.linalg.vector_norm(difference, dim=1).mean()
    return difference.abs().mean() if distance == "absolute" else difference.square().mean()


def encoder(channels: int, factors: int, *, kernel_size: int, batch_norm: bool) -> nn.Sequential:
    """Three convolutions: channels -> channels -> factors -> factors."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((channels, channels), (channels, factors), (factors, factors)):
        layers.append(nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2))
        layers += [BatchNorm(outputs)] if batch_norm else []
        layers.append(nn.LeakyReLU(SLOPE))
    return nn.Sequential(*layers)


@final
class Paraphraser(nn.Module):
    """An autoencoder of the teacher's feature.

    Args:
        channels: d.
        factors: k*d.
        kernel_size: 3 or 1.
    """

    def __init__(self, channels: int, factors: int, *, kernel_size: int) -> None:
        super().__init__()
        self.encoder = encoder(channels, factors, kernel_size=kernel_size, batch_norm=False)
        layers: list[nn.Module] = []
        for inputs, outputs in ((factors, factors), (factors, channels), (channels, channels)):
            layers += [nn.ConvTranspose2d(inputs, outputs, kernel_size, padding=kernel_size // 2)]
            layers += [nn.LeakyReLU(SLOPE)]
        self.decoder = nn.Sequential(*layers)

    def forward(self, feature: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        """The feature as the factor tells it."""
        return self.decoder(self.encoder(feature))


@final
class FT(TeacherAdapted):
    """Distance between the translated and the paraphrased feature: term `ft`.

    Args:
        student: has `student_tap`.
        teacher: has `teacher_tap`.
        tap: of both networks.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        rate: k, factors per channel of the teacher.
        kernel_size: of all convolutions; 1 for very wide teachers.
        factor: compare whole factors (the authors) or their attention maps (RepDistiller).
        power: of RepDistiller's attention map.
        distance: mean absolute difference, mean square, or mean norm.
        reconstruction: what the paraphraser minimises: mean absolute (the authors) or mean squared error.
        adapt_steps: updates of the paraphraser before the distillation.
    """

    card: ClassVar[Card] = Card(
        title="The student's translated feature follows the teacher's, paraphrased by an autoencoder.",
        equation="mean |N(T(f_S)) - N(E(f_T))|, E the encoder of an autoencoder of f_T, N a unit vector per image",
        source="Kim, Park & Kwak, Paraphrasing complex network: network compression via factor transfer, 2018, eq. 1-4",
        implementation="Jangho-Kim/Factor-Transfer-pytorch @ 19cce26; HobbitLong/RepDistiller distiller_zoo/FT.py "
        "@ b84f547; torchdistill mid_level.py::FTLoss @ 3e4373c",
        deviations="norms have a floor; the larger factor is pooled per axis; the adaptation uses the engine's "
        "optimiser; RepDistiller's form behind factor='map', reconstruction='square'",
        cost="18 d^2 (1 + k + k^2) + 9 (c^2 + c k d + k^2 d^2) parameters; about six maps of either side's channels",
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
        rate: float = 0.5,
        kernel_size: Literal[1, 3] = 3,
        factor: Factor = "whole",
        power: float = 2.0,
        distance: Distance = "absolute",
        reconstruction: Literal["absolute", "square"] = "absolute",
        adapt_steps: int = 1000,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "ft")
        expect_positive(float(adapt_steps), "adapt_steps")
        (self.pair,) = pairs = paired_taps(tap, student_tap, teacher_tap)
        self.requires = required_taps(pairs)
        channels = teacher.tap(self.pair.teacher).channels
        factors = int(channels * rate)
        expect_positive(float(factors), "rate times the teacher's channels")
        own = student.tap(self.pair.student).channels
        self.translator = encoder(own, factors, kernel_size=kernel_size, batch_norm=True)
        self.adapt_modules = nn.ModuleList([Paraphraser(channels, factors, kernel_size=kernel_size)])
        self.adapt_steps = adapt_steps
        self.factor: Factor = factor
        self.power = power
        self.distance: Distance = distance
        self.reconstruction: Literal["absolute", "square"] = reconstruction

    @property
    def paraphraser(self) -> Paraphraser:
        """What the adaptation trains."""
        (module,) = self.adapt_modules
        assert isinstance(module, Paraphraser)
        return module

    @property
    def insertions(self) -> Mapping[str, nn.Module]:
        """None: the paraphraser only reads the teacher."""
        return {}

    def adapt_loss(self, teacher: ModelOutput, batch: Batch) -> Tensor:
        """The paraphraser's reconstruction error."""
        feature = as_map(teacher.features[self.pair.teacher].detach())
        difference = self.paraphraser(feature) - feature
        return difference.abs().mean() if self.reconstruction == "absolute" else difference.square().mean()

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The distance of the factors."""
        feature = expect_teacher(teacher, "ft").features[self.pair.teacher].detach()
        with torch.no_grad():
            theirs = self.paraphraser.encoder(as_map(feature))
        ours = self.translator(as_map(student.features[self.pair.student]))
        value = factor_distance(ours, theirs, factor=self.factor, power=self.power, distance=self.distance)
        return {"ft": value}
