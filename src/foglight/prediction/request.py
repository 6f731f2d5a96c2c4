"""What is asked of a prediction and what came of it.

An image of more than `LARGEST_WHOLE` pixels is seen through windows of `LARGE_WINDOW` where nobody chose any.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, final

from torch import Tensor

from foglight.engine.evaluate import EvaluateSettings
from foglight.engine.uncertainty import PASSES, Uncertainty
from foglight.report.mask_images import Palette
from foglight.report.predicted_files import predicted_files

# Frames of driving data sets (2048 x 1024) are seen whole, as they are scored.
LARGEST_WHOLE: Final = 2048 * 2048
# As high and wide as the crops that such frames are trained on; its height is what memory grows with.
LARGE_WINDOW: Final = (512, 1024)


@final
@dataclass(frozen=True)
class PredictionSummary:
    """What was written.

    Attributes:
        written: number of masks.
        failed: path and reason of every image that could not be read.
        folder: where the masks lie.
        skipped: number of images whose results were there already.
        windowed: number of images that were seen through windows because they are large.
    """

    written: int
    failed: tuple[tuple[Path, str], ...]
    folder: Path
    skipped: int = 0
    windowed: int = 0

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready."""
        failed = [{"path": str(path), "reason": reason} for path, reason in self.failed]
        return {**asdict(self), "failed": failed, "folder": str(self.folder)}


@final
@dataclass(frozen=True)
class UncertaintyRequest:
    """Which maps are written beside each mask.

    Attributes:
        kinds: of them.
        passes: stochastic passes of a network with dropout.
        raw: whether as .npy instead of 16-bit PNG.
        made_by: what the sidecar also says; plain JSON values.
    """

    kinds: tuple[Uncertainty, ...]
    passes: int = PASSES
    raw: bool = False
    made_by: Mapping[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class PredictionRequest:
    """What is written for every image, and how it is predicted.

    Attributes:
        palette: red, green, blue bytes by class.
        alpha: the share of the mask's colour in an overlay; None for no overlay.
        soft: how many classes soft labels keep; 0 for no soft labels.
        uncertainty: the maps that are written too.
        input_size: height and width at which the network looks at an image, whatever its own; masks have the image's.
        settings: how an image is predicted.
        largest_whole: an image of more pixels is seen through windows; None never to choose them.
        identity: what else tells one way to predict from another, such as the sum of the weights; plain JSON values.
    """

    palette: Palette
    alpha: float | None = None
    soft: int = 0
    uncertainty: UncertaintyRequest | None = None
    input_size: tuple[int, int] | None = None
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)
    largest_whole: int | None = LARGEST_WHOLE
    identity: Mapping[str, Any] = field(default_factory=dict)

    def files(self, name: str) -> tuple[str, ...]:
        """Written for one image, the mask's first."""
        maps = self.uncertainty or UncertaintyRequest(())
        return predicted_files(
            name, overlay=self.alpha is not None, kinds=maps.kinds, raw=maps.raw, soft=bool(self.soft)
        )

    def mark(self) -> str:
        """Equal for equal results: what a mask says about how it was made."""
        maps = self.uncertainty or UncertaintyRequest(())
        # The calibrator itself is no plain value; `identity` stands for it.
        settings = asdict(replace(self.settings, calibrator=None))
        own = {"alpha": self.alpha, "soft": self.soft, "size": self.input_size, "largest_whole": self.largest_whole}
        maps_own = {"kinds": maps.kinds, "passes": maps.passes, "raw": maps.raw}
        said = {**settings, **own, **maps_own, "palette": self.palette, "identity": dict(self.identity)}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def settings_for(self, image: Tensor) -> EvaluateSettings:
        """With windows where an image, as the network is shown it, is large and nobody chose any."""
        pixels = image.shape[1] * image.shape[2]
        if self.settings.sliding is not None or self.largest_whole is None or pixels <= self.largest_whole:
            return self.settings
        return replace(self.settings, sliding=LARGE_WINDOW)
