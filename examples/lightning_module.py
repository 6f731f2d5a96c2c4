"""Distillation inside a LightningModule that already exists."""

import lightning
import torch
from networks import Large, Small
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import foglight as fl


class Segmenter(lightning.LightningModule):
    """The student's training; the teacher is in no optimiser, no checkpoint and no process group."""

    def __init__(self) -> None:
        super().__init__()
        self.distiller = fl.Distiller(Small(), Large(), [fl.loss("cross_entropy"), fl.loss("kd", weight=0.5)])
        self.totals: list[float] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        total, _ = self.distiller(*batch)
        self.totals.append(total.item())
        return total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.distiller.parameters(), lr=1e-2)


def main(epochs: int = 10) -> list[float]:
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(4, 3, 32, 48), torch.randint(0, 5, (4, 32, 48)))
    module = Segmenter()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(module, DataLoader(data, batch_size=2))
    return module.totals


if __name__ == "__main__":
    main()
