"""Teachers and students of five sources, paired: preflight, distillation, ONNX; writes `adapters.md` and `.json`.

    python results/adapters.py [--only NUMBER ...] [--output FOLDER]

The sources are transformers, segmentation_models.pytorch, torchvision, timm, and foglight's own (its registry, and a
class that somebody wrote by hand). No weights are downloaded. In the pairs marked `trained` the teacher first learns
fogtown for TEACHER_STEPS updates and its student then for STUDENT_STEPS; the other teachers are random and teach for
RANDOM_STEPS, and what the preflight refuses about them is lifted by name, as `--allow NAME` does.
Every student is exported to ONNX and compared with itself in PyTorch on all pixels of fogtown's report frames.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
import transformers
from rich.console import Console
from torch import Tensor, nn

from foglight.atomic import write_atomically, write_json
from foglight.config.schema import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    EngineConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
)
from foglight.engine.log import read_metrics
from foglight.errors import RefusedError, UserError
from foglight.exporting import export_student
from foglight.models.network import Network
from foglight.provenance import provenance
from foglight.run import run

TEACHER_STEPS: Final = 200
STUDENT_STEPS: Final = 100
RANDOM_STEPS: Final = 20
AGREEMENT: Final = 0.999
# Of fogtown.
CLASSES: Final = 12
HERE: Final = Path(__file__).parent
DATA: Final = DataConfig(
    name="fogtown",
    size=(64, 96),
    options={"frames": 60, "towns": 6},
    batch_size=4,
    augment=AugmentConfig(crop=(64, 64), scale=(0.75, 1.5)),
)

_VIT: Final = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": 64, "patch_size": 16}
_STAGES: Final = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
_CONVNEXT: Final = {"hidden_sizes": [16, 32, 64, 96], "depths": [1, 1, 2, 1]}
_SWIN: Final = {"embed_dim": 24, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "window_size": 4}
_MASKS: Final = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 64}
_DECODER: Final = {"encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "dim_feedforward": 64}


class HandWritten(nn.Module):
    """Somebody's own network: a plain module that knows nothing of foglight and resizes its logits itself."""

    def __init__(self, num_classes: int, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=2, dilation=2, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.classifier = nn.Conv2d(2 * width, num_classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Logits on the image's grid."""
        logits = self.classifier(self.body(self.stem(image)))
        return {"out": nn.functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)}


# Small ones of transformers, as configurations: a folder of one stands for the network without weights.
CONFIGURED: Final[Mapping[str, transformers.PreTrainedConfig]] = {
    "mask2former, small": transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(**_SWIN, **_STAGES),
        num_queries=16,
        num_labels=CLASSES,
        **_MASKS,
        **_DECODER,
    ),
    "eomt, small": transformers.EomtConfig(
        **{**_VIT, "num_hidden_layers": 5},
        num_blocks=1,
        num_queries=16,
        num_upscale_blocks=1,
        num_register_tokens=2,
        num_labels=CLASSES,
    ),
    "dinov3, small": transformers.DINOv3ViTConfig(**_VIT, intermediate_size=96, num_register_tokens=4),
    "upernet on convnext, small": transformers.UperNetConfig(
        backbone_config=transformers.ConvNextConfig(**_CONVNEXT, **_STAGES), hidden_size=48, num_labels=CLASSES
    ),
}


@dataclass(frozen=True)
class Named:
    """A network as a recipe names it; a key of CONFIGURED after `hf:` stands for a folder with that configuration."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def config(self, folder: Path) -> ModelConfig:
        """What the recipe says, once the configuration lies in a folder."""
        known = self.name.removeprefix("hf:")
        if known not in CONFIGURED:
            return ModelConfig(name=self.name, options=dict(self.options))
        path = folder / known.partition(",")[0].replace(" ", "-")
        CONFIGURED[known].save_pretrained(path)
        return ModelConfig(name=f"hf:{path}", options=dict(self.options))


@dataclass(frozen=True)
class Pair:
    """Who teaches whom, and by what method."""

    teacher: Named
    student: Named
    method: str
    trained: bool = False


B0: Final = Named("hf:segformer-b0")
UNET: Final = Named("smp:Unet:resnet18:decoder_channels=[64, 48, 32, 24, 16]")
LRASPP: Final = Named("torchvision:lraspp_mobilenet_v3_large")
MOBILENET: Final = Named("timm:mobilenetv3_small_100")
OWN: Final = Named("module:adapters:HandWritten")
LITE_S: Final = Named("lite_s")
PAIRS: Final = (
    Pair(B0, LITE_S, "kd", trained=True),
    Pair(UNET, MOBILENET, "cwd", trained=True),
    Pair(Named("torchvision:deeplabv3_resnet50"), OWN, "kd", trained=True),
    Pair(Named("timm:resnet18"), Named(LRASPP.name, {"insert_dropout": 0.1}), "fotf", trained=True),
    Pair(Named("lite_m"), Named("hf:segformer-b0", {"hidden_sizes": [16, 32, 64, 96]}), "fog", trained=True),
    Pair(OWN, UNET, "kd", trained=True),
    Pair(Named("hf:mask2former, small"), UNET, "kd"),
    Pair(Named("hf:eomt, small"), Named("timm:resnet18"), "kd"),
    Pair(Named("hf:dinov3, small"), B0, "cwd"),
    Pair(Named("hf:upernet on convnext, small"), OWN, "kd"),
    Pair(Named("hf:dinov2-small"), MOBILENET, "at"),
    Pair(Named("smp:DeepLabV3Plus:resnet34"), Named("smp:FPN:mobilenet_v2"), "ickd"),
    Pair(Named("smp:Segformer:mit_b0"), LITE_S, "sp"),
    Pair(LRASPP, UNET, "kd"),
    Pair(Named("torchvision:fcn_resnet50"), Named("deeplabv3_r18"), "fitnet"),
    Pair(Named("timm:vit_tiny_patch16_224"), Named("pspnet_r18"), "cwd"),
    Pair(Named("timm:convnext_atto"), Named("hf:mobilevit-small"), "kd"),
    Pair(MOBILENET, Named("smp:UnetPlusPlus:resnet18"), "dkd"),
)


@dataclass(frozen=True)
class Row:
    """One pair, as it went.

    Attributes:
        number: of the pair.
        teacher: its name.
        teacher_parameters: millions.
        student: its name.
        student_parameters: millions.
        method: preset.
        trained: whether the teacher learned fogtown first.
        steps: of distillation.
        preflight: passed, or what was lifted by name.
        teacher_miou: on the report frames.
        student_miou: the same.
        terms: of the loss, the first and the last value.
        sizes: of images that the ONNX file takes.
        max_difference: of the logits.
        agreement: share of pixels with the same class.
        seconds: of the whole pair.
        failure: the line that it ended with; None where it did not.
    """

    number: int
    teacher: str
    student: str
    method: str
    trained: bool
    teacher_parameters: float | None = None
    student_parameters: float | None = None
    steps: int | None = None
    preflight: str | None = None
    teacher_miou: float | None = None
    student_miou: float | None = None
    terms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sizes: str | None = None
    max_difference: float | None = None
    agreement: float | None = None
    seconds: float | None = None
    failure: str | None = None

    @property
    def holds(self) -> bool:
        """Trained whole, and the exported file agrees."""
        return self.failure is None and self.agreement is not None and self.agreement >= AGREEMENT


def knowing_classes(teacher: ModelConfig) -> ModelConfig:
    """A random teacher whose head is told how many classes there are; one with a configuration knows."""
    if teacher.name.endswith(("mask2former", "eomt", "upernet-on-convnext")):
        return teacher
    return teacher.model_copy(update={"options": {"num_classes": CLASSES, **teacher.options}})


def recipe(student: ModelConfig, steps: int, **changes: Any) -> RunConfig:
    """A run on the same small frames."""
    return RunConfig(
        student=student,
        data=DATA,
        optim=OptimConfig(name="adamw", lr=1e-3),
        budget=BudgetConfig(steps=steps),
        engine=EngineConfig(device="cpu", log_every=1, tensorboard=False),
        **changes,
    )


def attempt(number: int, pair: Pair, folder: Path) -> Row:
    """Train, distil, export."""
    row: dict[str, Any] = {
        "number": number,
        "teacher": pair.teacher.name,
        "student": pair.student.name,
        "method": pair.method,
        "trained": pair.trained,
    }
    start = time.perf_counter()
    try:
        row |= went(pair, folder)
    except UserError as error:
        row["failure"] = " ".join(str(error).split()).replace(str(folder), "FOLDER")
    return Row(**row, seconds=time.perf_counter() - start)


def went(pair: Pair, folder: Path) -> dict[str, Any]:
    """What is known of a pair at its end."""
    teacher, student = pair.teacher.config(folder), pair.student.config(folder)
    if pair.trained:
        run(recipe(teacher, TEACHER_STEPS), folder / "teacher")
        teacher = ModelConfig(name=str(folder / "teacher"))
    else:
        teacher = knowing_classes(teacher)
    steps = STUDENT_STEPS if pair.trained else RANDOM_STEPS
    config = recipe(student, steps, teacher=teacher, method=pair.method)
    lifted: tuple[str, ...] = ()
    while True:
        try:
            result = run(config.model_copy(update={"allow": lifted}), folder / "student")
            break
        except RefusedError as error:
            if pair.trained or error.name in lifted:
                raise
            lifted = (*lifted, error.name)
    seen = json.loads((folder / "student" / "preflight.json").read_text())
    lines = [line for line in read_metrics(folder / "student" / "metrics.jsonl") if line["kind"] == "train"]
    terms = {name: (lines[0][name], lines[-1][name]) for name in (term["name"] for term in seen["terms"])}
    report = export_student(folder / "student", "onnx", folder / "student.onnx", data=DATA)
    exported = report.parities[1]
    return {
        "teacher_parameters": seen["teacher"]["parameters"] / 1e6,
        "student_parameters": parameters(result.student),
        "steps": result.steps,
        "preflight": f"lifted: {', '.join(lifted)}" if lifted else "passed",
        "teacher_miou": None if result.teacher_scores is None else result.teacher_scores["miou"],
        "student_miou": result.scores["miou"],
        "terms": terms,
        "sizes": "any" if report.dynamic else f"{report.size[0]}x{report.size[1]}",
        "max_difference": exported.max_difference,
        "agreement": exported.agreement,
    }


def parameters(network: Network) -> float:
    """In millions."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def page(rows: list[Row], made_with: Mapping[str, Any]) -> str:
    """The table and what it rests on."""
    held = sum(row.holds for row in rows)
    sources = sorted({source(name) for row in rows for name in (row.teacher, row.student)})
    lines = [
        "# Any teacher, any student",
        "",
        f"{held} of {len(rows)} pairs hold: the preflight passes, or what it refuses is lifted by name; every step is",
        f"made; the ONNX file says the student's class on at least {100 * AGREEMENT:g} % of the pixels.",
        f"Sources: {', '.join(sources)}. {sum(row.trained for row in rows)} teachers learned fogtown here for",
        f"{TEACHER_STEPS} updates and taught for {STUDENT_STEPS}; the others are random and taught for {RANDOM_STEPS}.",
        "One seed, short runs, frames of 64x96: mIoU says that something was learned, not who learns best.",
        "",
        "```",
        "python results/adapters.py",
        "```",
        "",
        "| teacher | M | student | M | method | preflight | teacher mIoU | student mIoU | terms, first to last step "
        "| ONNX sizes | largest difference | same class |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(table_line(row) for row in rows),
        "",
        *(f"- Pair {row.number} failed: {row.failure}" for row in rows if row.failure is not None),
        f"Commit {made_with['commit']}, Python {made_with['python']}, "
        f"{', '.join(f'{name} {number}' for name, number in made_with['versions'].items())}, transformers "
        f"{transformers.__version__}; {made_with['machine']['processor']}, {made_with['machine']['cores']} cores. "
        "All figures: `adapters.json`.",
        "",
    ]
    return "\n".join(lines)


def source(name: str) -> str:
    """Whose network it is."""
    prefix, colon, _ = name.partition(":")
    return {"hf": "transformers", "smp": "segmentation_models.pytorch", "module": "hand-written"}.get(
        prefix, prefix if colon else "foglight"
    )


def table_line(row: Row) -> str:
    """One pair."""

    def shown(value: float | None, digits: int, scale: float = 1.0) -> str:
        return "-" if value is None else f"{scale * value:.{digits}f}"

    terms = ", ".join(f"{name} {first:.3g} to {last:.3g}" for name, (first, last) in row.terms.items())
    mious = [shown(row.teacher_miou, 1, 100), shown(row.student_miou, 1, 100)] if row.trained else ["random", "-"]
    cells = [
        f"`{row.teacher}`", shown(row.teacher_parameters, 2), f"`{row.student}`", shown(row.student_parameters, 2),
        row.method, row.preflight or "-", *mious, terms or "-", row.sizes or "-",
        "-" if row.max_difference is None else f"{row.max_difference:.1e}", shown(row.agreement, 3, 100) + " %",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """All pairs, or those named by number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="pairs by number, from 1")
    parser.add_argument("--output", type=Path, default=HERE)
    asked = parser.parse_args()
    torch.manual_seed(0)
    console, rows = Console(), []
    for number, pair in enumerate(PAIRS, start=1):
        if asked.only is None or number in asked.only:
            with TemporaryDirectory() as folder:
                row = attempt(number, pair, Path(folder))
            rows.append(row)
            console.print(f"{number:2d} {'holds' if row.holds else 'FAILS'} {table_line(row)} {row.seconds:.0f} s")
            if row.failure is not None:
                console.print(f"   {row.failure}")
    made_with = provenance()
    text = page(rows, made_with)
    write_json(asked.output / "adapters.json", {**made_with, "pairs": [asdict(row) for row in rows]})
    write_atomically(asked.output / "adapters.md", lambda file: file.write(text.encode()))


if __name__ == "__main__":
    main()
