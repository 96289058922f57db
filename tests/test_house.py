"""The ground plan: no import runs backwards, none in a circle; those inside functions count as well."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "frugalseg"
# From the ground up. What stands on a floor imports from its own floor and from those below it.
FLOORS = (
    "support",
    "features",
    "data",
    "classifier",
    "metrics",
    "report",
    "training",
    "pretraining",
    "backbones",
    "model",
    "segmenter",
    "selection",
    "synthetic",
    "students",
    "models",
    "jobs",
    "experiments",
    "cli",
    "__main__",
)
FRONT_DOOR = {"__init__", "__main__", "model", "models", "segmenter"}


def modules(package):
    """{name: path} of all modules below a package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path, known):
    """The modules of the package that a file imports, wherever in it; names used for types alone do not count."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            found |= inside or ({node.module} & set(known))
    return found


def arrows(package):
    """{module: the modules it imports}."""
    known = modules(package)
    return {name: imported(path, known) - {name} for name, path in known.items()}


def floor(module):
    """Which floor a module stands on; that of the package's own front door is None."""
    parts = module.split(".")
    return FLOORS.index(parts[1]) if len(parts) > 1 else None


def backwards(found):
    """The imports that run up, in words."""
    return [
        f"{module} imports {other}"
        for module, others in found.items()
        for other in others
        if floor(module) is not None and (floor(other) is None or floor(other) > floor(module))
    ]


def test_no_import_runs_backwards():
    assert backwards(arrows(PACKAGE)) == []


def test_no_imports_in_a_circle():
    TopologicalSorter(arrows(PACKAGE)).prepare()


def test_the_root_holds_the_front_door_alone():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= FRONT_DOOR
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(FLOORS)


def test_no_family_imports_another():
    families = {path.name for path in (PACKAGE / "backbones").iterdir() if (path / "__init__.py").is_file()}
    for module, others in arrows(PACKAGE).items():
        own = module.split(".")[2] if module.startswith("frugalseg.backbones.") else None
        if own in families:
            used = {other.split(".")[2] for other in others if other.startswith("frugalseg.backbones.")}
            assert used & families <= {own}, module


@pytest.fixture
def house(tmp_path):
    """Writes a small package: its file names with what each holds."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "frugalseg" / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text)
        return tmp_path / "frugalseg"

    return write


def test_a_backward_import_in_a_function_is_seen(house):
    package = house(support__a="def f():\n    from frugalseg.cli.b import c\n", cli__b="")
    assert backwards(arrows(package)) == ["frugalseg.support.a imports frugalseg.cli.b"]


def test_a_circle_in_a_function_is_seen(house):
    package = house(data__a="import frugalseg.data.b", data__b="def f():\n    from frugalseg.data import a\n")
    with pytest.raises(CycleError):
        TopologicalSorter(arrows(package)).prepare()
