"""A file imports only from floors below its own, Lightning stays in the engine, and the command line starts light."""

import ast
import sys
from pathlib import Path

import pytest

import foglight

ROOT = Path(foglight.__file__).parent

# Ground floor first; what stands on one floor does not know its neighbours. A longer name is an exception to a shorter.
FLOORS = (
    ("types", "errors", "spelling", "atomic", "provenance", "config.schema"),
    ("functional",),
    ("losses", "models", "data", "metrics"),
    ("engine",),
    ("report", "export"),
    ("config", "recipes"),
    ("prediction", "preparation", "run_folder", "specs", "calibration"),
    ("preflight_run",),
    ("preflight_words", "step_ratio"),
    ("run", "reporting", "evaluation"),
    ("api", "demo", "study", "exporting"),
    ("__init__",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LIGHTNING = ("lightning", "pytorch_lightning", "lightning_fabric")
LIGHTNING_ALLOWED = ("engine", "commands", "cli")
# What `foglight --help` may import beside the standard library and light modules of our own.
LIGHT = {"typer", "rich", "click", "foglight"}


def module_name(path: Path) -> str:
    """`losses.logits.kd` of `src/foglight/losses/logits/kd.py`; a package's own file goes by the package's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def home(name: str) -> tuple[int, str]:
    """The floor of a module, and the longest entry of it that covers the module."""
    covering = [
        (entry, floor)
        for floor, entries in enumerate(FLOORS)
        for entry in entries
        if name == entry or name.startswith(f"{entry}.")
    ]
    assert covering, f"foglight.{name} stands on no floor; give it one in {Path(__file__).name}"
    entry, floor = max(covering, key=lambda found: len(found[0]))
    return floor, entry


class Imports(ast.NodeVisitor):
    """Dotted names that a file imports: anywhere in it, or only what is run while it is loaded."""

    def __init__(self, *, whole_file: bool) -> None:
        self.whole_file = whole_file
        self.found: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"line {node.lineno}: imports are absolute here"
        self.found += [f"{node.module}.{alias.name}" for alias in node.names]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self.whole_file:
            self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        only_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in node.orelse if only_for_types and not self.whole_file else ast.iter_child_nodes(node):
            self.visit(child)


def imports(source: str, *, whole_file: bool) -> list[str]:
    visitor = Imports(whole_file=whole_file)
    visitor.visit(ast.parse(source))
    return visitor.found


def imported(name: str, *, whole_file: bool) -> list[str]:
    return imports(MODULES[name].read_text(), whole_file=whole_file)


def own(dotted: str) -> str | None:
    """The module of ours that an import names; `__version__` of the package itself belongs to nobody."""
    if dotted != "foglight" and not dotted.startswith("foglight."):
        return None
    name = dotted.removeprefix("foglight").removeprefix(".")
    if name == "__version__":
        return None
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or "__init__"


def upward(name: str, names: list[str]) -> list[str]:
    """Those of the imported names that are neither below the module nor in its own package."""
    floor, entry = home(name)
    targets = {dotted: home(target) for dotted in names if (target := own(dotted))}
    return [dotted for dotted, (at, package) in targets.items() if at >= floor and package != entry]


@pytest.mark.parametrize("name", MODULES)
def test_imports_come_from_lower_floors(name: str) -> None:
    assert not upward(name, imported(name, whole_file=True))


def test_upward_imports_are_found() -> None:
    names = ["foglight.types.Batch", "foglight.losses.base.Card", "foglight.config.schema.PixelWeightConfig", "torch"]
    assert not upward("losses.base", names)
    assert upward("losses.base", ["foglight.models.taps", "foglight.engine.terms.Terms"]) == [
        "foglight.models.taps",
        "foglight.engine.terms.Terms",
    ]
    with pytest.raises(AssertionError, match="stands on no floor"):
        home("utils")


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] not in LIGHTNING_ALLOWED])
def test_lightning_stays_in_the_engine(name: str) -> None:
    found = [dotted for dotted in imported(name, whole_file=True) if dotted.split(".")[0] in LIGHTNING]
    assert not found, f"{name} imports {', '.join(found)}"


def test_command_line_starts_light() -> None:
    """Everything that `foglight --help` loads, followed through our own modules and the packages that hold them."""
    pending, loaded = ["cli"], set[str]()
    while pending:
        name = pending.pop()
        if name in loaded or name not in MODULES:
            continue
        loaded.add(name)
        parts = name.split(".")
        pending += ["__init__", *(".".join(parts[:depth]) for depth in range(1, len(parts)))]
        for dotted in imported(name, whole_file=False):
            package = dotted.split(".")[0]
            assert package in LIGHT or package in sys.stdlib_module_names, f"{name} loads {dotted} on start"
            target = own(dotted)
            pending += [target] if target else []
    assert "cli" in loaded


@pytest.mark.parametrize(
    ("source", "whole_file", "expected"),
    [
        ("import a.b\nfrom c import d", True, ["a.b", "c.d"]),
        ("def f():\n    import a", True, ["a"]),
        ("def f():\n    import a", False, []),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", False, ["b"]),
        ("try:\n    import a\nexcept ImportError:\n    import b", False, ["a", "b"]),
    ],
)
def test_imports_are_found(source: str, whole_file: bool, expected: list[str]) -> None:
    assert imports(source, whole_file=whole_file) == expected
