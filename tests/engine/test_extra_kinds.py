"""Does a network remember what its extra channel measured, so that it is not taught or scored on another?"""

from pathlib import Path

import pytest

from foglight.config.schema import DataConfig, ModelConfig
from foglight.errors import ConfigurationError
from foglight.evaluation import calibrate, evaluate
from foglight.models.student_file import load_student
from foglight.run import run
from tiny_runs import tiny_config


def seeing(extra: str) -> DataConfig:
    data = tiny_config().data
    return data.model_copy(update={"options": {**data.options, "extra": extra}})


def test_depth_is_not_taken_for_inverse_depth(tmp_path: Path) -> None:
    reader = ModelConfig(name="lite_s", options={"extra_channels": 1})
    run(tiny_config(student=reader, data=seeing("inverse_depth")), tmp_path / "teacher")
    teacher = str(tmp_path / "teacher")
    assert load_student(tmp_path / "teacher").extra_kinds == ("inverse_depth",)
    assert evaluate(teacher, data=seeing("inverse_depth")).frames > 0
    for refused in (
        lambda: evaluate(teacher, data=seeing("depth")),
        lambda: calibrate(teacher, data=seeing("depth")),
        lambda: run(tiny_config(teacher=ModelConfig(name=teacher), data=seeing("depth")), tmp_path / "student"),
    ):
        with pytest.raises(ConfigurationError, match=r"learned from inverse_depth.*data gives depth.*data\.options"):
            refused()
    assert not (tmp_path / "student").exists()


def test_a_network_of_colour_images_does_not_mind(tmp_path: Path) -> None:
    run(tiny_config(), tmp_path / "run")
    assert load_student(tmp_path / "run").extra_kinds == ()
    assert evaluate(str(tmp_path / "run"), data=seeing("depth")).frames > 0
