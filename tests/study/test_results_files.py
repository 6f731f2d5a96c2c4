"""Do the study files that stand in results/ still describe studies, with the controls that make them fair?"""

from pathlib import Path

import pytest

from foglight.study.load import load_study

RESULTS = Path(__file__).parents[2] / "results"
FILES = sorted(RESULTS.glob("*/study*.yaml"))


def test_there_are_some() -> None:
    assert {file.relative_to(RESULTS).as_posix() for file in FILES} >= {
        "camvid/study.yaml",
        "scarcity/study_camvid.yaml",
        "scarcity/study_fogtown.yaml",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_study_file_loads_and_has_its_plain_controls(file: Path) -> None:
    planned = load_study(file)
    arms = planned.study.arms
    assert len(planned.study.seeds) >= 3
    assert any(arm.method == "ce-weighted" and arm.teacher is None for arm in arms.values())
    matched = [name for name, arm in arms.items() if arm.match_time_of is not None]
    against = {comparison.against for comparison in planned.study.comparisons}
    assert matched
    assert set(matched) & against
    assert all(config.teacher is None or config.teacher.name in planned.teachers for config in planned.arms.values())
