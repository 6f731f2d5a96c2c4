"""The finished runs of a study, as the scripts beside this file read them."""

from collections.abc import Mapping
from pathlib import Path

from foglight.config.build import build_model
from foglight.config.schema import ModelConfig
from foglight.errors import CheckpointError
from foglight.models.network import Network
from foglight.study.fixed import read_fixed
from foglight.study.jobs import Job, arm_jobs, is_finished, teacher_jobs
from foglight.study.load import Planned, load_study


def finished_jobs(file: Path, folder: Path) -> tuple[Planned, list[Job]]:
    """The study and those of its runs that are trained and scored, teachers first.

    Raises:
        UserError: for a wrong study file, a folder of another study, or one without a finished run.
    """
    planned = load_study(file)
    # Refuses the folder of another study.
    _ = read_fixed(planned, folder)
    jobs = [job for job in (*teacher_jobs(planned), *arm_jobs(planned)) if is_finished(job, folder)]
    if not jobs:
        raise CheckpointError(f"{folder}: no run is finished", remedy=f"foglight study {file} -o {folder}")
    return planned, jobs


def by_arm(jobs: list[Job], planned: Planned) -> Mapping[str, dict[int, Job]]:
    """The runs of every arm by seed."""
    return {name: {job.seed: job for job in jobs if job.name == name and job.seed is not None} for name in planned.arms}


def kept_network(job: Job, folder: Path) -> Network:
    """The network that a run kept, in eval mode."""
    return build_model(ModelConfig(name=str(job.folder(folder))), num_classes=None).eval()
