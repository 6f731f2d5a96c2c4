"""Knowledge diffusion: a diffusion model of the teacher's feature denoises the student's before the two are compared.

L_kd = D(P x, T), x = n DDIM steps of phi from gamma f + (1 - gamma) eps
L_noise = mean of (phi(sqrt(abar_t) T + sqrt(1 - abar_t) eps', t) - eps')^2
L_reconstruction = mean of (dec(enc(t)) - t)^2

Symbols: f the student's feature through a 1x1 convolution and t the teacher's (b c h w), T = enc(t), or t without an
autoencoder, always without gradient, phi the denoiser and gamma the adapter's share (see `denoiser`), eps standard
normal noise, P a 1x1 convolution with batch normalisation, D the mean square on features and
kl(teacher || student) per position on logits.
Source: Huang et al. 2023, "Knowledge diffusion for distillation", NeurIPS; hunto/image_classification_sota, DiffKD (the
public half, classification). gamma mixes linearly, as there, and not with square roots as the diffusion does.
Changed: maps of any size; the public code has no segmentation, so the tap is our choice. The autoencoder is on above
512 channels unless said otherwise.
Cost: n + 1 evaluations of phi with their backward passes, about 12*(n + 1)*b*c*h*w numbers kept; 4.5*c^2 + 1280*c
parameters and the 1x1 convolutions to c channels and back.
"""

from typing import ClassVar, Final, final

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from foglight.functional.kl import class_kl
from foglight.functional.normal import standard_normal
from foglight.functional.resize import resize
from foglight.losses.base import Card, DistillationLoss
from foglight.losses.batch_norm import BatchNorm
from foglight.losses.denoiser import Denoiser, KernelSize, NoiseAdapter
from foglight.losses.diffusion import STEPS, denoised, noised, sampling_steps, signal_share
from foglight.losses.expect import expect_same_classes, expect_teacher
from foglight.losses.logits.cwd import chosen_taps
from foglight.types import Batch, ModelInfo, ModelOutput, Requires

# Above this many channels the diffusion runs in a narrower space, of half of them and at most the published width.
WIDE: Final = 512
PUBLISHED_WIDTH: Final = 1024


def logit_divergence(student: Float[Tensor, "b k h w"], teacher: Float[Tensor, "b k h w"]) -> Float[Tensor, ""]:
    """kl(teacher || student) over classes, averaged over images and positions."""
    return class_kl(student, teacher).sum() / (student.numel() // student.shape[1])


@final
class DiffKD(DistillationLoss):
    """Compare after denoising: terms `kd`, `noise` and, with an autoencoder, `reconstruction`.

    Args:
        student: whose feature, or whose logits, are trained.
        teacher: whose feature the diffusion model learns.
        tap: of both networks; None distils the logits.
        student_tap: where the names differ.
        teacher_tap: where the names differ.
        inference_steps: n.
        kernel_size: of the denoiser; None takes 3 on features and 1 on logits.
        autoencoder: run the diffusion in a narrower space; None does so on features of more than 512 channels.
        autoencoder_channels: of that space; None takes half of the teacher's, at most 1024.
        detach_denoiser: `kd` does not train phi; published code does, through all n steps.
    """

    card: ClassVar[Card] = Card(
        title="The student's feature is denoised by a diffusion model of the teacher's before the two are compared.",
        equation="D(P ddim(phi, gamma f + (1 - gamma) eps), T); mean (phi(T_t, t) - eps')^2; mean (dec(enc(t)) - t)^2",
        source="Huang et al., Knowledge diffusion for distillation, NeurIPS 2023, section 3",
        implementation="hunto/image_classification_sota, DiffKD (classification; no segmentation code is public)",
        deviations="maps of any size; autoencoder above 512 channels; the adapter averages over positions on logits",
        cost="n + 1 = 6 evaluations of phi, 12 (n + 1) b c h w numbers kept; 4.5 c^2 + 1280 c parameters, connectors",
        tier="for comparison",
        trains_only_itself=frozenset({"noise", "reconstruction"}),
        masks_ignored=False,
    )

    shares: Tensor

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        *,
        tap: str | None = "head",
        student_tap: str | None = None,
        teacher_tap: str | None = None,
        inference_steps: int = 5,
        kernel_size: KernelSize | None = None,
        autoencoder: bool | None = None,
        autoencoder_channels: int | None = None,
        detach_denoiser: bool = False,
    ) -> None:
        super().__init__()
        teacher = expect_teacher(teacher, "diffkd")
        sampling_steps(inference_steps)
        self.taps = chosen_taps(tap, student_tap, teacher_tap)
        self.requires = Requires(teacher=True)
        if self.taps is None:
            expect_same_classes(student, teacher, "diffkd")
            channels = given = student.num_classes
        else:
            channels, given = student.tap(self.taps[0]).channels, teacher.tap(self.taps[1]).channels
            self.requires |= Requires(frozenset([self.taps[0]]), frozenset([self.taps[1]]))
        if autoencoder is None:
            autoencoder = self.taps is not None and given > WIDE
        width = (autoencoder_channels or min(max(given // 2, 1), PUBLISHED_WIDTH)) if autoencoder else given
        size: KernelSize = kernel_size or (1 if self.taps is None else 3)
        self.encoder = nn.Sequential(nn.Conv2d(given, width, 1), BatchNorm(width)) if autoencoder else None
        self.decoder = nn.Conv2d(width, given, 1) if autoencoder else None
        self.connector = nn.Conv2d(channels, width, 1)
        self.denoiser = Denoiser(width, kernel_size=size)
        self.noise_adapter = NoiseAdapter(width, kernel_size=size)
        self.projection = nn.Sequential(nn.Conv2d(width, width, 1), BatchNorm(width))
        # Not persistent: it is configuration, not state.
        self.register_buffer("shares", signal_share(), persistent=False)
        self.align_corners = teacher.align_corners and self.taps is None
        self.inference_steps = inference_steps
        self.detach_denoiser = detach_denoiser

    def forward(self, student: ModelOutput, teacher: ModelOutput | None, batch: Batch) -> dict[str, Tensor]:
        """The comparison after denoising, and what trains the diffusion model."""
        feature, given = self._pair(student, expect_teacher(teacher, "diffkd"))
        target, terms = given, dict[str, Tensor]()
        if self.encoder is not None and self.decoder is not None:
            encoded: Tensor = self.encoder(given)
            terms["reconstruction"] = F.mse_loss(self.decoder(encoded), given)
            target = encoded.detach()
        feature = self.connector(feature)
        drawn = self.draw(batch, {"start": tuple(feature.shape), "noise": tuple(target.shape), "step": (len(target),)})
        start, noise = (standard_normal(drawn[name].to(feature.dtype)) for name in ("start", "noise"))
        refined = self.projection(self._refined(feature, start))
        step = (drawn["step"] * STEPS).long()
        told = self.denoiser(noised(target, noise, self.shares[step]), step)
        compare = logit_divergence if self.taps is None else F.mse_loss
        return {"kd": compare(refined, target), "noise": F.mse_loss(told, noise), **terms}

    def _pair(
        self, student: ModelOutput, teacher: ModelOutput
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b d h w"]]:
        if self.taps is None:
            ours, theirs = student.logits, teacher.logits
        else:
            ours, theirs = student.features[self.taps[0]], teacher.features[self.taps[1]]
        theirs = resize(theirs.detach(), ours.shape[2:], align_corners=self.align_corners)
        if ours.ndim == 2:
            return ours[..., None, None], theirs[..., None, None]
        return ours, theirs

    def _refined(self, feature: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        gamma = self.noise_adapter(feature)
        mixed = gamma * feature + (1 - gamma) * noise
        if not self.detach_denoiser:
            return denoised(mixed, self.denoiser, self.shares, count=self.inference_steps)
        frozen = {name: parameter.detach() for name, parameter in self.denoiser.named_parameters()}

        def denoise(noisy: Tensor, step: Tensor) -> Tensor:
            return functional_call(self.denoiser, frozen, (noisy, step))

        return denoised(mixed, denoise, self.shares, count=self.inference_steps)
