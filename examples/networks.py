"""Two hand-written networks, as anybody has them: a plain nn.Module that returns logits."""

from torch import Tensor, nn


class Small(nn.Module):
    """A student at a quarter of the image's resolution, with a dropout before its classifier."""

    def __init__(self, num_classes: int = 5, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.body(image)))


class Large(nn.Module):
    """A wider teacher that returns a dictionary, as torchvision's do."""

    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        self.small = Small(num_classes, width=48)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"out": self.small(image)}
