"""Distillation under the transformers Trainer (`pip install "foglight[hf]"` and accelerate)."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from networks import Large, Small
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

import foglight as fl


class Images(Dataset[dict[str, Tensor]]):
    """Random images, for the sake of the example."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {
            "images": torch.rand(3, 32, 48, generator=generator),
            "labels": torch.randint(0, 5, (32, 48), generator=generator),
        }


class Distilled(nn.Module):
    """What the Trainer wants: a loss first."""

    def __init__(self) -> None:
        super().__init__()
        self.distiller = fl.Distiller(Small(), Large(), fl.method("kd"))

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        total, _ = self.distiller(images, labels)
        return {"loss": total}


def main(steps: int = 20) -> list[float]:
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=str(Path(folder)),
            max_steps=steps,
            per_device_train_batch_size=2,
            learning_rate=1e-2,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(model=Distilled(), args=arguments, train_dataset=Images())
        trainer.train()
    return [record["loss"] for record in trainer.state.log_history if "loss" in record]


if __name__ == "__main__":
    main()
