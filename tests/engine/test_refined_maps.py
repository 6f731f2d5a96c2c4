"""Does a run that refines features leave a picture of them, and any other run none?"""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from foglight.config.schema import LossConfig, ModelConfig, RunConfig
from foglight.report.refined_maps import FILE
from foglight.run import run


def test_the_panel_has_a_row_per_tap(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(), tmp_path / "teacher")
    assert not (tmp_path / "teacher" / FILE).exists()
    options = {"taps": ["layer4", "head"], "adapt_steps": 2}
    attention = config(
        teacher=ModelConfig(name=str(tmp_path / "teacher")),
        losses=(LossConfig(name="cross_entropy"), LossConfig(name="attnfd", options=options)),
        allow=("weak-teacher",),
    )
    run(attention, tmp_path / "student")
    with Image.open(tmp_path / "student" / FILE) as panel:
        assert panel.size == (1250, 440)
        assert len(panel.convert("L").getcolors() or []) > 50
