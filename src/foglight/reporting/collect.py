"""From run folders to one HTML page: read, score, draw, write; the command and the demo call `write_report`.

Networks are loaded one at a time (a teacher stays while a source reads it) and frames are streamed, so memory does not
grow with the runs. The same runs on the same machine give the same bytes. Cost: per network one pass over the tune
part and one over the report part, per student one more over the report part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

from foglight import __version__
from foglight.config.schema import DataConfig, PixelWeightConfig
from foglight.data.contact_sheet import write_contact_sheet
from foglight.engine.progress import Progress, Silent
from foglight.errors import ConfigurationError, UserError
from foglight.models.network import Network
from foglight.report.html import write_page
from foglight.report.pictures import stored_picture
from foglight.report.records import Picture, Report, Uncertainty
from foglight.report.refined_maps import FILE as REFINED_MAPS
from foglight.reporting import stored
from foglight.reporting.arms import Loader, Seen, own_run, seen_student, seen_teacher
from foglight.reporting.cast import Cast, read_cast
from foglight.reporting.scene import PARTS, Scene, build_scene
from foglight.reporting.strips import frame_strips
from foglight.reporting.uncertainty import ENTROPY, look_at, rank_errors, weight_source

IMAGES: Final = 6


@final
@dataclass(frozen=True)
class ReportOptions:
    """How a report is made.

    Attributes:
        baseline: run folder that differences are taken from; None looks for one.
        data: a data set to score everything on; None takes the runs' own.
        root: where that lies.
        split: of it.
        images: how many frames are shown.
        device: where networks run.
        trust: whether a pickled teacher may be loaded.
    """

    baseline: Path | None = None
    data: str | None = None
    root: Path | None = None
    split: str | None = None
    images: int = IMAGES
    device: str = "cpu"
    trust: bool = False

    def __post_init__(self) -> None:
        if self.images < 0:
            raise ValueError(f"expected images >= 0, got {self.images}")


def write_report(
    runs: Sequence[Path], output: Path, *, options: ReportOptions | None = None, progress: Progress | None = None
) -> Report:
    """Compare finished runs and write the page.

    Args:
        runs: their folders.
        output: of the page; its folder must exist.
        options: everything else.
        progress: is told which network is being scored.

    Raises:
        UserError: for a folder without a finished run, a damaged file, or runs that cannot be compared.
    """
    if output.is_dir() or not output.parent.is_dir():
        expected = "a file" if output.is_dir() else "an existing folder to write into"
        raise ConfigurationError(f"{output}: expected {expected}", remedy="give `--output FOLDER/report.html`")
    report = collect(runs, options=options or ReportOptions(), progress=progress or Silent())
    write_page(report, output)
    return report


def collect(runs: Sequence[Path], *, options: ReportOptions, progress: Progress) -> Report:
    """Everything that the page says.

    Raises:
        UserError: as `write_report`.
    """
    cast = read_cast(runs, baseline=options.baseline, same_data=options.data is None)
    scene = build_scene(_data(cast, options), images=options.images, device=options.device)
    _require_classes(cast, scene)
    loader = Loader(
        options.trust, own_data=options.data is None, device=options.device, class_names=scene.info.class_names
    )
    seen = {each.arm.title: each for each in _everybody(cast, scene, loader, progress)}
    uncertainties, unranked = _uncertainties(cast, scene, loader, progress)
    teacher_runs = {each.title: run for each in cast.teachers if (run := own_run(each)) is not None}
    everyone = {**teacher_runs, **cast.runs}
    return Report(
        data=scene.info.name,
        frames=len(scene.parts["report"]),
        tune_frames=len(scene.parts["tune"]),
        class_names=scene.info.class_names,
        palette=scene.info.palette,
        arms=tuple(each.arm for each in seen.values()),
        baseline=cast.baseline,
        strips=frame_strips(scene, {title: each.masks for title, each in seen.items()}, cast),
        frame_rule=scene.rule,
        uncertainties=tuple(uncertainties),
        curves=tuple(stored.curves(title, run) for title, run in everyone.items()),
        preflights=tuple(found for title, run in cast.runs.items() if (found := stored.preflight(title, run))),
        extra_pictures=tuple(_refined_maps(cast)) if options.images else (),
        contact_sheet=_contact_sheet(scene) if options.images else None,
        notes=tuple(dict.fromkeys([*_notes(cast, scene), *unranked])),
        origins=tuple(stored.origin(title, run) for title, run in everyone.items()),
        version=__version__,
    )


def _data(cast: Cast, options: ReportOptions) -> DataConfig:
    own = next(iter(cast.runs.values())).config.data
    base = own if options.data in (None, own.name) else DataConfig(name=str(options.data), batch_size=own.batch_size)
    changes = {"root": None if options.root is None else str(options.root), "split": options.split}
    return base.model_copy(update={key: value for key, value in changes.items() if value is not None})


def _require_classes(cast: Cast, scene: Scene) -> None:
    for run in cast.runs.values():
        names = run.description.get("class_names")
        if names is not None and tuple(names) != scene.info.class_names:
            raise ConfigurationError(
                f"{run.folder}: the student's classes are not those of {scene.info.name}",
                remedy="name data with its classes by `--data`",
            )


def _everybody(cast: Cast, scene: Scene, loader: Loader, progress: Progress) -> Iterator[Seen]:
    for teacher in cast.teachers:
        progress.note(f"{teacher.title}: scoring the teacher")
        yield seen_teacher(teacher, cast, scene, loader)
    for title, run in cast.runs.items():
        progress.note(f"{title}: scoring")
        yield seen_student(title, run, cast, scene, loader)


def _uncertainties(
    cast: Cast, scene: Scene, loader: Loader, progress: Progress
) -> tuple[tuple[Uncertainty, ...], tuple[str, ...]]:
    """Of every student that can be loaded, and why one could not be asked."""
    weighting = {title: weight_source(run.config) for title, run in cast.runs.items()}
    shown = [title for title, settings in weighting.items() if settings is not None]
    # Where no run weights by an uncertainty, one network's entropy is shown all the same.
    shown = shown or [title for title in cast.runs if title != cast.baseline][:1] or list(cast.runs)[:1]
    found: list[Uncertainty] = []
    refused: list[str] = []
    for title, run in cast.runs.items():
        if run.description.get("builder") is None:
            continue
        progress.note(f"{title}: does its uncertainty point at its errors?")
        settings = weighting[title] or PixelWeightConfig(source=ENTROPY)
        try:
            look = look_at(loader.student(run), _read_teacher(settings, title, cast, loader), settings)
            used, pictures = weighting[title] is not None, title in shown and bool(scene.chosen)
            found.append(rank_errors(title, look, scene, settings, used=used, pictures=pictures))
        except UserError as error:
            refused.append(f"{title}: its uncertainty ({settings.source}) could not be measured: {error.problem}")
    return tuple(found), tuple(refused)


def _read_teacher(settings: PixelWeightConfig, title: str, cast: Cast, loader: Loader) -> Network | None:
    """The teacher, where the source reads one."""
    if settings.source not in ("teacher_gap", "teacher_mc"):
        return None
    teacher = next(each for each in cast.teachers if title in each.pupils)
    return loader.teacher(teacher)


def _refined_maps(cast: Cast) -> Iterator[Picture]:
    for title, run in cast.runs.items():
        path = run.folder / REFINED_MAPS
        if path.is_file():
            yield stored_picture(f"{title}: raw and refined features", path)


def _contact_sheet(scene: Scene) -> Picture:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "contact_sheet.png"
        write_contact_sheet(path, scene.parts, per_part=5, height=96)
        return stored_picture(
            f"A few frames of each part of {scene.info.name}, above their labels", path, as_photo=True
        )


def _notes(cast: Cast, scene: Scene) -> Iterator[str]:
    for name in PARTS:
        yield from scene.parts[name].info.notes
    for title, run in cast.runs.items():
        yield from stored.notes(title, run)
