"""Does an exported file say what the student says, at every size, and is what was measured written down?"""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from foglight.calibration import write_calibration
from foglight.config.load import read_config
from foglight.config.schema import ModelConfig
from foglight.engine.calibrate import Temperature
from foglight.engine.progress import Progress
from foglight.errors import CheckpointError, ConfigurationError, DataError
from foglight.export.deployed import Deployed, example
from foglight.export.fake_quantised import Range, fake_quantised, rounded_activation, rounded_weight
from foglight.export.onnx_file import export_onnx, onnx_runner
from foglight.exporting import KINDS, SUFFIX, ExportSettings, Kind, export_student
from foglight.models.load import load_network
from foglight.models.student_file import load_student, update_metadata
from foglight.run import run
from tiny_runs import tiny_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of six updates and the teacher that it names."""
    folder = tmp_path_factory.mktemp("runs")
    run(tiny_config(seed=1), folder / "teacher")
    run(tiny_config(teacher=ModelConfig(name=str(folder / "teacher")), allow=("weak-teacher",)), folder / "student")
    return folder / "student"


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_says_what_the_student_says(kind: Kind, trained: Path, tmp_path: Path) -> None:
    data = read_config(trained / "config.yaml").data
    path = tmp_path / "out" / f"student{SUFFIX[kind]}"
    report = export_student(trained, kind, path, data=data)
    reference, exported, *_ = report.parities
    assert reference.agreement == 1
    assert exported.agreement >= (0.9 if kind == "int8" else 0.999)
    assert exported.latency > 0
    assert report.dynamic
    written = json.loads(path.with_name(f"{path.name}.export.json").read_text())
    beside = [form for form in ("onnx", "int8") if form != kind]
    assert [one["form"] for one in written["parities"]] == ["pytorch", kind, *beside]
    assert all(one["latency"] > 0 for one in written["parities"])
    assert "foglight" in path.with_name(f"{path.name}.md").read_text()
    assert not list((tmp_path / "out").glob(".*")), "something half written was left"


def test_onnx_carries_classes_and_takes_any_size(trained: Path, tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "student.onnx"
    export_student(trained, "onnx", path, data=read_config(trained / "config.yaml").data)
    proto = onnx.load(str(path))
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert len(json.loads(metadata["class_names"])) == 12
    assert metadata["sizes"] == "any"
    assert proto.opset_import[0].version == 20
    network = Deployed(load_student(trained))
    for size, images in (((64, 96), 1), ((41, 70), 3)):
        image = example(size, images=images)
        torch.testing.assert_close(onnx_runner(path)(image), network(image).detach(), rtol=1e-4, atol=1e-5)


def test_baked_temperature_divides_the_logits(trained: Path, tmp_path: Path) -> None:
    data = read_config(trained / "config.yaml").data
    with pytest.raises(ConfigurationError, match="foglight calibrate"):
        export_student(trained, "onnx", tmp_path / "a.onnx", data=data, settings=ExportSettings(temperature=True))
    assert not (tmp_path / "a.onnx").exists()
    write_calibration(trained, Temperature("temperature", 2, 100, 1.0, 0.9, (2.0,)), fitted_on={})
    try:
        export_student(trained, "onnx", tmp_path / "a.onnx", data=data, settings=ExportSettings(temperature=True))
    finally:
        update_metadata(trained, {"calibration": None})
    image = example((32, 64), images=1)
    plain = Deployed(load_student(trained))(image).detach()
    torch.testing.assert_close(2 * onnx_runner(tmp_path / "a.onnx")(image), plain, rtol=1e-4, atol=1e-5)


def test_without_normalisation_and_resize(trained: Path, tmp_path: Path) -> None:
    settings = ExportSettings(normalise=False, resize=False)
    data = read_config(trained / "config.yaml").data
    report = export_student(trained, "onnx", tmp_path / "a.onnx", data=data, settings=settings)
    assert report.baked == ()
    assert report.parities[1].agreement >= 0.999
    assert onnx_runner(tmp_path / "a.onnx")(example((32, 64), images=1)).shape[2:] != (32, 64)


class Pyramid(nn.Module):
    """Pools to a fixed grid, which ONNX can say for one size of image only."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(3)
        self.last = nn.Conv2d(4, num_classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        values = self.first(image)
        pooled = nn.functional.interpolate(self.pool(values), values.shape[2:], mode="bilinear")
        return self.last(values + pooled)


def test_a_graph_of_one_size_is_found_out(tmp_path: Path) -> None:
    from foglight.models.adapters.own_module import as_network

    deployed = Deployed(as_network(Pyramid()))
    written = export_onnx(deployed, tmp_path / "a.onnx", size=(33, 48), metadata={})
    assert not written.dynamic
    image = example((33, 48), images=1)
    torch.testing.assert_close(onnx_runner(written.path)(image), deployed(image).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["onnx", "int8"])
def test_a_file_of_one_size_is_measured_on_images_of_that_size(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    model = ModelConfig(name="module:test_export:Pyramid")
    config = tiny_config(student=model)
    run(config, tmp_path / "run")
    height, width = (32, 64)
    path = tmp_path / f"a{SUFFIX[kind]}"
    report = export_student(tmp_path / "run", kind, path, data=config.data)
    assert not report.dynamic
    assert report.parities[1].images > 0
    path.unlink()
    settings = ExportSettings(size=(height + 8, width))
    with pytest.raises(ConfigurationError, match=f"no image of .* is {height + 8}x{width}.*--size"):
        export_student(tmp_path / "run", kind, path, data=config.data, settings=settings)
    assert not path.exists()


def test_without_training_images_the_file_is_written_and_the_rest_is_said(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_images(*_: object, **__: object) -> None:
        raise DataError("no training part", remedy="give one")

    progress = Mock(spec=Progress)
    monkeypatch.setattr("foglight.exporting.subject.quantise", no_images)
    data = read_config(trained / "config.yaml").data
    report = export_student(trained, "onnx", tmp_path / "a.onnx", data=data, progress=progress)
    assert [parity.form for parity in report.parities] == ["pytorch", "onnx"]
    progress.note.assert_called_once()
    assert "no training part" in progress.note.call_args.args[0]
    with pytest.raises(DataError, match="no training part"):
        export_student(trained, "int8", tmp_path / "a.int8.onnx", data=data)


def test_padding_is_part_of_the_graph(tmp_path: Path) -> None:
    network = load_network("lite_s", num_classes=3).eval()
    network.module.size_multiple = 32
    deployed = Deployed(network)
    path = export_onnx(deployed, tmp_path / "a.onnx", size=(64, 64), metadata={}).path
    for size in ((64, 96), (50, 71)):
        image = example(size, images=1)
        assert deployed(image).shape[2:] == size
        torch.testing.assert_close(onnx_runner(path)(image), deployed(image).detach(), rtol=1e-4, atol=1e-5)


def test_rounding_stays_within_half_a_step() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 7, generator=generator)
    steps = weight.abs().amax(1, keepdim=True) / 127
    assert ((rounded_weight(weight) - weight).abs() <= steps / 2 + 1e-6).all()
    values = torch.rand(100, generator=generator) * 3 - 1
    span = Range(-1.0, 2.0)
    assert ((rounded_activation(values, span) - values).abs() <= 3 / 255 + 1e-6).all()
    assert rounded_activation(torch.zeros(1), span).item() == 0, "padding stays exactly 0"


def test_simulated_int8_trains_and_leaves_no_trace() -> None:
    network = load_network("lite_s", num_classes=3).eval()
    image = example((32, 32))
    plain = network(image).logits.detach()
    keys = list(network.state_dict())
    with fake_quantised(network, [image]):
        simulated = network(image).logits
        assert not torch.equal(simulated, plain)
        simulated.square().mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
    assert torch.equal(network(image).logits, plain)
    assert list(network.state_dict()) == keys


def test_recovery_reports_before_and_after(trained: Path, tmp_path: Path) -> None:
    data = read_config(trained / "config.yaml").data
    report = export_student(trained, "int8", tmp_path / "a.onnx", data=data, settings=ExportSettings(recover=3))
    assert report.before_recovery is not None
    assert report.before_recovery.form == report.parities[1].form == "int8"
    assert (tmp_path / "recovered" / "student.safetensors").exists()
    assert not (tmp_path / "before-a.onnx").exists()


def test_refusals(trained: Path, tmp_path: Path) -> None:
    data = tiny_config().data
    with pytest.raises(ConfigurationError, match="--recover belongs to int8"):
        export_student(trained, "onnx", tmp_path / "a.onnx", data=data, settings=ExportSettings(recover=1))
    with pytest.raises(ConfigurationError, match=r"ends in \.onnx"):
        export_student(trained, "onnx", tmp_path / "a.pt", data=data)
    with pytest.raises(CheckpointError, match=r"student\.json"):
        export_student(tmp_path, "onnx", tmp_path / "a.onnx", data=data)
    assert not list(tmp_path.iterdir())
