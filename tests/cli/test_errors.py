"""Is everything that goes wrong one line on stderr with the right exit code, and no traceback?"""

import errno

import pytest
from pydantic import BaseModel

from foglight import api
from foglight.cli import run
from foglight.errors import DataError, RefusedError

TRAIN = ["train", "--student", "lite_s", "-o", "unused", "--json"]


class Positive(BaseModel):
    value: int


def raising(error: BaseException) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def outcome(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *extra: str
) -> tuple[int, str]:
    monkeypatch.setattr(api, "run_training", raising(error))
    code = run([*TRAIN, *extra])
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("masks/a.png: value 7", remedy="map it"), 2, "masks/a.png: value 7. To mend it: map it"),
        (RefusedError("no-dropout", "x", remedy="y"), 2, "x [no-dropout]. To mend it: y, or pass `--allow no-dropout`"),
        (
            OSError(errno.ENOSPC, "No space left on device", "last.ckpt"),
            2,
            "last.ckpt: No space left on device. To mend it: free some space; "
            "the same command then goes on from the last checkpoint",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "x.png"),
            2,
            "x.png: No such file or directory. To mend it: check that path and its permissions",
        ),
        (
            RuntimeError("two\nlines"),
            1,
            "internal error, RuntimeError: two lines. Please report it with what the same command and --debug print",
        ),
    ],
)
def test_an_error_is_one_line(
    error: Exception, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    got, printed = outcome(error, monkeypatch, capsys)
    assert got == code
    assert printed.splitlines()[-1] == f"foglight: {line}"
    assert sum(text.startswith("foglight: ") for text in printed.splitlines()) == 1
    assert "Traceback" not in printed


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = outcome(RuntimeError("odd"), monkeypatch, capsys, "--debug")
    assert code == 1
    assert "Traceback" in printed


def test_an_invalid_model_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        Positive.model_validate({"value": "x"})
    code, printed = outcome(caught.value, monkeypatch, capsys)
    assert code == 2
    assert printed.splitlines()[-1].startswith("foglight: the configuration is not valid: 1 validation error")


def test_ctrl_c_says_that_the_run_can_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = outcome(KeyboardInterrupt(), monkeypatch, capsys)
    assert code == 130
    assert printed.splitlines()[-1] == "stopped; the same command goes on from the last checkpoint in unused"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "no student"),
        (["train", "--student", "lite_s", "optim.lrr=1"], "did you mean 'lr'?"),
        (["train", "--student", "lite_s", "--steps", "0"], "budget.steps: expected a number >= 1, got 0"),
        (["train", "--student", "lite_s", "--steps", "1", "--seconds", "2"], "expected exactly one of"),
        (["train", "--student", "lite_s", "--method", "fotff"], "did you mean 'fotf'?"),
        (["train", "a.yaml", "b.yaml"], "expected at most one recipe, got a.yaml, b.yaml"),
        (["train", "no_such.yaml"], "no_such.yaml: no such file"),
        (["distill", "--student", "lite_s"], "distillation needs a teacher"),
        (["evaluate", "no_such_run"], "--data: expected a data set"),
        (
            ["evaluate", "x", "--data", "fogtown", "--sliding", "12"],
            "--sliding: expected HxW",
        ),
        (["evaluate", "x", "--data", "fogtown", "--scales", "1,a"], "--scales: expected numbers"),
        (["evaluate", "x", "--data", "fogtown", "--part", "val"], "--part: expected train, tune or report, got val"),
        (["models", "lite_x"], "did you mean 'lite_"),
        (["methods", "kdd"], "did you mean 'kd'?"),
        (["data", "camvit"], "did you mean 'camvid'?"),
    ],
)
def test_a_wrong_word_is_refused_with_a_remedy(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith("foglight: ")
    assert words in printed
    assert "To mend it: " in printed


def test_an_unknown_option_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--stepps", "3"]) == 2
    assert "--stepps" in capsys.readouterr().err
