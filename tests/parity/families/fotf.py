"""FOTF: sigma, both weights, both losses and their gradients from stored Monte-Carlo logits."""

from typing import Final

import torch
from torch import Tensor

from foglight.config.schema import Granularity, PixelWeightConfig
from foglight.functional.sampled_sigma import softmax_std
from foglight.losses.base import PixelLoss
from foglight.losses.logits.kd import KD
from foglight.losses.task.cross_entropy import CrossEntropy
from foglight.losses.weighting.pixel_weight import UncertaintyWeight
from foglight.losses.weighting.sources import sigma_request
from foglight.losses.weighting.weighted import PixelWeighted
from foglight.types import Batch, ModelInfo, ModelOutput

from ..protocol import Case, Outcome

PREFIXES = ("fotf_ref",)
METHOD = "kd"

MERGES: Final[dict[str, Granularity]] = {"logits": "logit", "pixel": "pixel", "channel": "class", "sample": "image"}


def run(case: Case) -> Outcome:
    outcome = Outcome()
    logits = case["student_logits"]
    info = ModelInfo(num_classes=logits.shape[1], stride=8, align_corners=True)
    label = case["labels"]
    batch = Batch(
        image=torch.zeros(len(label), 3, *label.shape[1:]), label=label, ignore_index=int(case.meta["ignore_index"])
    )
    sigma = softmax_std(
        case["mc_logits"],
        ddof=int(case.meta["std_correction"]),
        temperature=float(case.meta.get("mc_temperature", 1.0)),
    )
    outcome.value("sigma", case["sigma"], sigma)

    total = torch.zeros((), dtype=logits.dtype)
    kd = KD(info, info, temperature=float(case.meta.get("temperature", 1.0)))
    for term, loss, merge in (("kd", kd, case.meta["merge_kd"]), ("ce", CrossEntropy(info), case.meta["merge_task"])):
        settings = _settings(case, merge)
        leaf = case.leaf("student_logits")
        student = ModelOutput(leaf, sigma={sigma_request(settings): sigma})
        teacher = ModelOutput(case["teacher_logits"])
        value = PixelWeighted(loss, settings, info, info)(student, teacher, batch)[term]
        value.backward()
        total = total + value.detach()
        outcome.value(f"loss_{term}", case[f"loss_{term}"], value)
        outcome.gradient(f"grad_{term}", case[f"grad_{term}__student_logits"], leaf.grad)
        stored = case["w_kd" if term == "kd" else "w_task_at_label"]
        weight, valid = _weight(loss, term, settings, info, student, teacher, batch)
        if term == "ce":
            weight, stored = weight.squeeze(1)[valid], stored[valid]
        outcome.value(f"w_{term}", stored, weight.expand_as(stored))
    outcome.value("loss", case["loss"], total)
    return outcome


def _settings(case: Case, merge: str) -> PixelWeightConfig:
    return PixelWeightConfig(
        granularity=MERGES[merge],
        form="exp" if case.meta["weight_form"] == "exp" else "power",
        kappa=float(case.meta["kappa"]),
        m=float(case.meta["m"]),
    )


def _weight(
    loss: PixelLoss,
    term: str,
    settings: PixelWeightConfig,
    info: ModelInfo,
    student: ModelOutput,
    teacher: ModelOutput,
    batch: Batch,
) -> tuple[Tensor, Tensor]:
    pixel_map = loss.pixel_maps(student, teacher, batch)[term]
    return UncertaintyWeight(settings, info, info)(term, pixel_map, student, teacher, batch), pixel_map.counted()
