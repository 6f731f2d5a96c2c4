"""Does the panel show the probability of the class that is asked for, one row per frame?"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from foglight.engine.evaluate import EvaluateSettings, predict
from foglight.models.load import load_network
from foglight.report.class_probability import probability_figure, probability_rows, write_probability_panel
from foglight.types import Batch

BATCH = Batch(
    image=torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0)),
    label=torch.arange(2 * 32 * 64).view(2, 32, 64) % 3,
)


def test_maps_are_the_networks_probabilities_of_that_class(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks = {name: load_network("lite_s", num_classes=3).eval() for name in ("one", "two")}
    rows = probability_rows(networks, BATCH, 1, settings=EvaluateSettings())
    expected = predict(networks["two"], BATCH.image, settings=EvaluateSettings()).exp()
    assert [list(row.maps) for row in rows] == [["one", "two"]] * 2
    torch.testing.assert_close(rows[1].maps["two"], expected[1, 1])
    assert BATCH.label is not None
    assert torch.equal(rows[0].truth, BATCH.label[0] == 1)
    path = write_probability_panel(rows, tmp_path / "panel.png", class_name="car")
    with Image.open(path) as panel:
        # 2.6 x 1.6 inches a cell, 110 dots an inch: three cells in each of two rows.
        assert panel.size == (858, 352)


def test_no_frame_and_no_label_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        probability_figure([], class_name="car")
    with pytest.raises(ValueError, match="labelled"):
        probability_rows({}, replace(BATCH, label=None), 1, settings=EvaluateSettings())
