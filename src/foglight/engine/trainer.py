"""One training loop for teachers, baselines and distilled students.

Lightning's Trainer carries devices, processes and precision. Optimisation is manual, and the step counter is our own:
it counts student updates and drives budget, schedule, logging, evaluation and checkpoints. Everything random in a step
is seeded from (seed, step, micro-batch), so a resumed run equals an uninterrupted one bit for bit on the CPU.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import lightning
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor

from foglight.engine.accumulate import is_update, scaled, update
from foglight.engine.adversarial import discriminator_optimisers, update_discriminators
from foglight.engine.averaging import AveragedWeights
from foglight.engine.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from foglight.engine.distiller import Distiller
from foglight.engine.interrupt import asked_to_stop
from foglight.engine.lightning_trainer import lightning_trainer, quiet_lightning
from foglight.engine.log import MetricsLog
from foglight.engine.optimiser import build_optimiser, learning_rate_multiplier, set_learning_rate
from foglight.engine.plan import Fitted, Plan, Score
from foglight.engine.progress import Progress, Silent
from foglight.engine.zero_terms import ZeroTerms
from foglight.errors import CheckpointError, DataError
from foglight.types import Batch, derive_seed


def fit(distiller: Distiller, plan: Plan, *, progress: Progress | None = None) -> Fitted:
    """Train to the end of the budget, from the last checkpoint where there is one.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the step in progress is finished and checkpointed.
    """
    loop = _Loop(distiller, plan, progress or Silent())
    accumulate = plan.optim.accumulate
    with asked_to_stop(loop.request_stop), quiet_lightning():
        loop.restore()
        if loop.step < plan.total_steps and not loop.stopped_early:
            trainer = lightning_trainer(plan.engine, plan.folder)
            first = loop.step * accumulate
            trainer.fit(loop, train_dataloaders=plan.batches(first, plan.total_steps * accumulate - first))
        loop.finish()
    if loop.interrupted:
        raise KeyboardInterrupt
    return Fitted(loop.step, loop.kept_state(), loop.stopped_early)


@final
class _Loop(lightning.LightningModule):
    """The step, and what happens around it."""

    def __init__(self, distiller: Distiller, plan: Plan, progress: Progress) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.distiller = distiller
        self.plan = plan
        self.progress = progress
        self.step = 0
        self.best = float("-inf")
        self.evaluations_since_best = 0
        self.stopped_early = False
        self.interrupted = False
        self.groups = list(distiller.optimiser_groups(head_multiple=plan.optim.head_lr_multiple))
        self.optimiser = build_optimiser(self.groups, plan.optim)
        self.adversaries = distiller.adversaries()
        self.discriminator_optimisers = discriminator_optimisers(self.adversaries)
        self.processes = plan.processes
        self.averaged = AveragedWeights(distiller.student, plan.engine.averaging)
        self.zero_terms = ZeroTerms(plan.allow)
        self.said: set[str] = set()
        self._log: MetricsLog | None = None
        self._latest: dict[str, Tensor] = {}

    def request_stop(self) -> None:
        """End the run after the update in progress, with a checkpoint."""
        self.interrupted = True

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimiser, *self.discriminator_optimisers]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> STEP_OUTPUT:
        accumulate = self.plan.optim.accumulate
        batch = replace(
            batch,
            step=self.step,
            progress=self.step / self.plan.total_steps,
            seed=self.plan.seed,
            # Micro-batches of one update draw different numbers, as processes do.
            rank=self.global_rank * accumulate + batch_idx % accumulate,
        )
        set_learning_rate(self.optimiser, learning_rate_multiplier(self.step, self.plan.total_steps, self.plan.optim))
        torch.manual_seed(derive_seed(batch.seed, batch.step, batch.rank, "student"))
        try:
            student, teacher = self.distiller.outputs(batch)
        except ValueError as error:
            raise _batch_norm_error(error, batch) from error
        total, terms = self.distiller.terms(student, teacher, batch)
        self.zero_terms.observe(terms)
        if total.requires_grad:
            self.manual_backward(scaled(total, accumulate))
        if self.adversaries and teacher is not None:
            multiplier = learning_rate_multiplier(self.step, self.plan.total_steps, self.plan.optim)
            for optimiser in self.discriminator_optimisers:
                set_learning_rate(optimiser, multiplier)
            update_discriminators(self.adversaries, self.discriminator_optimisers, student, teacher, batch)
        self._latest = {"total": total.detach(), **{name: value.detach() for name, value in terms.items()}}
        if is_update(batch_idx, accumulate):
            update(self.optimiser, self.groups, self.plan.optim.clip)
            self.step += 1
            self.averaged.update(self.distiller.student, self.step)
            self._after_update()
        return None

    def _after_update(self) -> None:
        engine = self.plan.engine
        last = self.step == self.plan.total_steps
        # Ctrl-C may reach the processes at different steps; they stop at the same one.
        self.interrupted = self.processes.any(self.interrupted)
        if self.step % engine.log_every == 0 or last:
            self._write_figures()
        if self.plan.score is not None and engine.evaluate_every and self.step % engine.evaluate_every == 0:
            self._evaluate(self.plan.score)
        if self.step % engine.checkpoint_every == 0 or last or self.interrupted or self.stopped_early:
            self._save(self.plan.folder / "last.ckpt")
        if self.interrupted or self.stopped_early:
            self.trainer.should_stop = True

    def _write_figures(self) -> None:
        figures = self.processes.mean({name: value.item() for name, value in self._latest.items()})
        statistics = self.distiller.terms.statistics()
        rate = self.optimiser.param_groups[0]["lr"]
        self._write(self.step, {**figures, **statistics.values, "lr": rate}, kind="train")
        self.progress.advance(self.step, figures)
        for note in statistics.notes:
            if note not in self.said:
                self.said.add(note)
                self.progress.note(note)
                self._write(self.step, {"note": note}, kind="note")

    def _evaluate(self, score: Score) -> None:
        student = self.distiller.student
        trained = (
            {name: values.clone() for name, values in student.state_dict().items()}
            if self.averaged.decay or self.processes.count > 1
            else None
        )
        student.load_state_dict(self.processes.leaders(self.averaged.of(student)))
        scores = score(student)
        if trained is not None:
            student.load_state_dict(trained)
        self._write(self.step, scores, kind="tune")
        self.evaluations_since_best += 1
        miou = scores["miou"] if scores["miou"] is not None else float("-inf")
        if miou > self.best:
            self.best, self.evaluations_since_best = miou, 0
            self._save(self.plan.folder / "best.ckpt")
        patience = self.plan.engine.patience
        self.stopped_early = patience is not None and self.evaluations_since_best >= patience

    def _write(self, step: int, values: Mapping[str, Any], *, kind: str) -> None:
        if self._log is not None:
            self._log.write(step, values, kind=kind)

    def _save(self, path: Path) -> None:
        if not self.processes.leads:
            return
        checkpoint: Checkpoint = {
            "step": self.step,
            "stream_position": self.step * self.plan.optim.accumulate,
            "fingerprint": self.plan.fingerprint,
            "student": self.distiller.student.state_dict(),
            "losses": self.distiller.terms.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.configure_optimizers()],
            "averaged": dict(self.averaged.state),
            "random_state": torch.get_rng_state(),
            "best": self.best,
            "evaluations_since_best": self.evaluations_since_best,
            "stopped_early": self.stopped_early,
            "said": sorted(self.said),
        }
        save_checkpoint(path, checkpoint)

    def restore(self) -> None:
        """Take up the last checkpoint, where there is one of this very run."""
        path = self.plan.folder / "last.ckpt"
        if path.exists():
            self._load(load_checkpoint(path), path)
        if self.processes.leads:
            self._log = MetricsLog(self.plan.folder, resume_step=self.step, tensorboard=self.plan.engine.tensorboard)
        self.progress.begin("training", total=self.plan.total_steps, done=self.step)

    def _load(self, checkpoint: Checkpoint, path: Path) -> None:
        if checkpoint["fingerprint"] != self.plan.fingerprint:
            raise CheckpointError(
                f"{path}: belongs to a run with another configuration or another teacher",
                remedy="choose another `--output`, or delete that folder to start afresh",
            )
        self.step = checkpoint["step"]
        self.distiller.student.load_state_dict(checkpoint["student"])
        self.distiller.terms.load_state_dict(checkpoint["losses"])
        for optimiser, state in zip(self.configure_optimizers(), checkpoint["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.averaged.state = checkpoint["averaged"]
        torch.set_rng_state(checkpoint["random_state"])
        self.best = checkpoint["best"]
        self.evaluations_since_best = checkpoint["evaluations_since_best"]
        self.stopped_early = checkpoint["stopped_early"]
        self.said = set(checkpoint["said"])

    def finish(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
        self.progress.end()

    def kept_state(self) -> Mapping[str, Tensor]:
        """The student's state that the run is for."""
        return self.processes.leaders(self._kept())

    def _kept(self) -> Mapping[str, Tensor]:
        best = self.plan.folder / "best.ckpt"
        if self.plan.engine.patience is not None and self.processes.agreed(best.exists):
            checkpoint = load_checkpoint(best)
            return checkpoint["averaged"] or checkpoint["student"]
        return self.averaged.of(self.distiller.student)


def _batch_norm_error(error: ValueError, batch: Batch) -> Exception:
    if "more than 1 value per channel" not in str(error):
        return error
    return DataError(
        f"a batch of {len(batch.image)} image(s) of {batch.image.shape[-2]}x{batch.image.shape[-1]} leaves batch norm "
        "a single value per channel",
        remedy="raise `data.batch_size` to 2 or more, or use a larger crop",
    )
