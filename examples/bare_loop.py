"""Distillation in a loop of one's own: one line to build, one line per step."""

import torch
from networks import Large, Small

import foglight as fl


def main(steps: int = 20) -> list[float]:
    torch.manual_seed(0)
    distiller = fl.Distiller(Small(), Large(), fl.method("fotf"), total_steps=steps)
    optimiser = torch.optim.AdamW(distiller.parameters(), lr=1e-2)
    images, labels = torch.rand(4, 3, 32, 48), torch.randint(0, 5, (4, 32, 48))
    totals: list[float] = []
    for _ in range(steps):
        total, terms = distiller(images, labels)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())
    print({name: round(value.item(), 4) for name, value in terms.items()})
    return totals


if __name__ == "__main__":
    main()
