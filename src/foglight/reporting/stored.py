"""The parts of a report that a run folder holds ready: curves, preflight, origin, cost. Older folders hold less."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from foglight.report.numbers import DASH, short
from foglight.report.records import Curves, Origin, Point, Preflight
from foglight.reporting.folder import StoredRun, is_figure

# Columns of a log line that are no loss terms.
_NO_TERMS: Final = frozenset({"step", "kind", "lr"})


def curves(title: str, run: StoredRun) -> Curves:
    """Loss terms and tune points from the log."""
    names = _term_names(run)
    training = [record for record in run.log if record["kind"] == "train"]
    if names is None:
        # Statistics of a loss are called `loss.figure`; without a preflight the dot is what tells them from terms.
        names = tuple(dict.fromkeys(key for record in training for key in record if "." not in key))
    terms = {name: _points(training, name) for name in ("total", *names) if name not in _NO_TERMS}
    tuned = [record for record in run.log if record["kind"] == "tune"]
    return Curves(title, {name: line for name, line in terms.items() if line}, _points(tuned, "miou"))


def notes(title: str, run: StoredRun) -> Iterator[str]:
    """What losses said while training, and refusals that were lifted."""
    for text in dict.fromkeys(str(record.get("note")) for record in run.log if record["kind"] == "note"):
        yield f"{title}, while training: {text}"
    if run.config.allow:
        yield f"{title}: refusals lifted by --allow: {', '.join(run.config.allow)}"


def preflight(title: str, run: StoredRun) -> Preflight | None:
    """Everything in `preflight.json`: numbers and texts as facts, lists of records as tables."""
    if run.preflight is None:
        return None
    facts: list[tuple[str, str]] = []
    tables: list[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]] = []
    said: tuple[str, ...] = ()
    for key, value in run.preflight.items():
        if key == "notes" and isinstance(value, list):
            said = tuple(map(str, value))
        elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            columns = tuple(dict.fromkeys(str(name) for row in value for name in row))
            rows = tuple(tuple(_written(row.get(name)) for name in columns) for row in value)
            tables.append((_spaced(key), tuple(map(_spaced, columns)), rows))
        else:
            facts += _facts(_spaced(key), value)
    return Preflight(title, tuple(facts), tuple(tables), said)


def origin(title: str, run: StoredRun) -> Origin:
    """Command, versions, commit, machine, seed and hashes of one run."""
    asked = run.asked or {}
    facts = [("folder", run.folder.name), ("seed", str(run.config.seed))]
    if run.config.teacher is not None:
        facts.append(("teacher", run.config.teacher.name))
    for key, name in (("command", "command"), ("commit", "commit of foglight"), ("foglight", "foglight")):
        facts.append((name, _written(asked.get(key)) if run.asked is not None else "no run.json"))
    ended = run.result or {}
    if ended.get("commit", asked.get("commit")) != asked.get("commit"):
        facts.append(("commit when it ended", _written(ended.get("commit"))))
    facts += _facts("python", asked.get("python"))
    facts += _facts("", asked.get("versions", {}))
    facts += _facts("", asked.get("machine", {}))
    facts.append(("recipe and teacher, sha256", _written(asked.get("requested"))))
    facts.append(("student.safetensors, sha256", _written(run.description.get("sha256"))))
    return Origin(title, tuple(facts), run.text)


def budget(run: StoredRun) -> str | None:
    """The budget in words, as it was settled."""
    given = run.config.budget.model_dump(exclude_none=True)
    return ", ".join(f"{value:g} {unit}" for unit, value in given.items()) or None


def seconds_per_step(run: StoredRun) -> float | None:
    """As measured before training, by the budget or by the preflight."""
    return _figure(run.asked, "seconds_per_step") or _figure(_cost(run), "seconds_per_step")


def seconds(run: StoredRun) -> float | None:
    """Of training, where the run recorded it."""
    return _figure(run.result, "seconds")


def teacher_share(run: StoredRun) -> float | None:
    """Of a step's time, where the preflight measured it."""
    return _figure(_cost(run), "teacher_share")


def _cost(run: StoredRun) -> Mapping[str, Any] | None:
    cost = None if run.preflight is None else run.preflight.get("cost")
    return cost if isinstance(cost, dict) else None


def _figure(content: Mapping[str, Any] | None, key: str) -> float | None:
    value = None if content is None else content.get(key)
    return float(value) if is_figure(value) else None


def _term_names(run: StoredRun) -> tuple[str, ...] | None:
    terms = None if run.preflight is None else run.preflight.get("terms")
    if not isinstance(terms, list) or not all(isinstance(term, dict) and "name" in term for term in terms):
        return None
    return tuple(str(term["name"]) for term in terms)


def _points(records: list[Mapping[str, Any]], name: str) -> tuple[Point, ...]:
    found = ((record["step"], record.get(name)) for record in records)
    return tuple((step, float(value)) for step, value in found if is_figure(value))


def _facts(name: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(name, _written(value))]
    return [fact for key, below in value.items() for fact in _facts(f"{name} {_spaced(str(key))}".strip(), below)]


def _spaced(key: str) -> str:
    return key.replace("_", " ")


def _written(value: Any) -> str:
    match value:
        case None:
            return DASH
        case bool():
            return "yes" if value else "no"
        case float():
            return short(value)
        case list():
            return ", ".join(map(_written, value)) or "none"
        case _:
            return str(value)
