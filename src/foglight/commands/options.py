"""Options that several commands share, each with its help text said once."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Words = Annotated[
    list[str] | None,
    Argument(metavar="[RECIPE] [KEY=VALUE]...", help="A recipe (file or name) and dotted overrides: optim.lr=0.01."),
]
Recipe = Annotated[str | None, Option("--recipe", help="The recipe, where it is not the first word.")]
DataName = Annotated[str | None, Option("--data", help="A data set by name, or a folder of images/ and masks/.")]
Root = Annotated[Path | None, Option("--root", help="Where the data set lies.")]
Split = Annotated[str | None, Option("--split", help="A named split of the data set, or a CSV or JSON file.")]
StudentName = Annotated[
    str | None, Option("--student", help="A network by name (smp:, hf:, timm:, torchvision:, module: too).")
]
TeacherName = Annotated[
    str | None, Option("--teacher", help="A run folder, a student.safetensors, or a network by name.")
]
ClassMap = Annotated[
    str | None,
    Option("--class-map", metavar="FILE|by-name", help="From the network's classes to the data's (YAML or JSON)."),
]
FinetuneTeacher = Annotated[
    int | None,
    Option("--finetune-teacher", metavar="STEPS", min=1, help="First train the teacher's head on the data."),
]
InsertDropout = Annotated[
    float | None,
    Option("--insert-dropout", metavar="RATE", help="Put a dropout before the network's classifier."),
]
Method = Annotated[str | None, Option("--method", help="A method preset; `foglight methods` lists them.")]
Steps = Annotated[int | None, Option("--steps", help="Budget in student updates.")]
Seconds = Annotated[float | None, Option("--seconds", help="Budget in seconds of training.")]
Samples = Annotated[int | None, Option("--samples", help="Budget in images seen.")]
Seed = Annotated[int | None, Option("--seed", help="Of data order, augmentation and initial weights.")]
RunFolder = Annotated[Path | None, Option("--output", "-o", help="Run folder; by default runs/NAME of this very run.")]
Unlabeled = Annotated[Path | None, Option("--unlabeled", help="A folder of images without masks: teacher terms only.")]
Set = Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="A dotted override; may be repeated.")]
Weights = Annotated[
    Path | None, Option("--weights", help="The student's first weights; public CIRKD-family files are converted.")
]
Pretrained = Annotated[
    bool | None,
    Option("--pretrained/--from-scratch", help="The student's backbone as its library publishes it; else by its name."),
]
Fast = Annotated[bool, Option("--fast", help="bf16 and channels_last; the teacher's BatchNorm folded.")]
Device = Annotated[str | None, Option("--device", help="auto (the default), cpu or cuda.")]
Devices = Annotated[int | None, Option("--devices", help="Processes per node, each on a GPU or core of its own.")]
Nodes = Annotated[int | None, Option("--nodes", help="Machines, where torchrun or SLURM starts the processes.")]
Allow = Annotated[list[str] | None, Option("--allow", metavar="NAME", help="Lift one refusal of the preflight.")]
NoPreflight = Annotated[bool, Option("--no-preflight", help="Skip the checks before training.")]
Trust = Annotated[bool, Option("--trust-checkpoint", help="Load a pickled checkpoint; it may run any code.")]
Json = Annotated[bool, Option("--json", help="The result as JSON on stdout, messages on stderr.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="No messages, only the result.")]
