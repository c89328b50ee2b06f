"""The flow has one direction: who may import whom."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import changedet

ROOT = Path(changedet.__file__).parent


def names():
    """Every module of the package, by its dotted name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ("changedet", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = names()


def imports(module, *, late):
    """What a module imports of the package, also in its functions if asked; not what only types need."""
    found = set()

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.FunctionDef | ast.Lambda) and not late:
                continue
            if isinstance(child, ast.ImportFrom) and (child.module or "").startswith("changedet"):
                whole = [f"{child.module}.{alias.name}" for alias in child.names]
                found.update(name if name in MODULES else child.module for name in whole)
            visit(child)

    visit(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    return found - {module}


def test_modules_import_each_other_in_one_direction():
    order = list(TopologicalSorter({name: imports(name, late=False) for name in MODULES}).static_order())
    assert set(order) >= set(MODULES)


#: Nouns that are read, saved, drawn or shown by what comes after them, as soon as somebody asks them to be.
NOUNS = {
    f"changedet.{name}"
    for name in ("registration", "result", "scene", "scene_list", "site", "timeline.types")
}
#: What a list of files is, and who makes workers: known when it is called.
LATE = {
    ("changedet.providers.layers", "changedet.providers.rasters"),
    ("changedet.scale.executors", "changedet.scale.cluster"),
}


def test_nothing_but_nouns_reaches_forward_when_it_is_called():
    graph = {
        name: {other for other in imports(name, late=name not in NOUNS) if (name, other) not in LATE}
        for name in MODULES
    }
    assert set(TopologicalSorter(graph).static_order()) >= set(MODULES)


@pytest.mark.parametrize(("low", "high"), sorted(LATE))
def test_what_is_excepted_is_still_so(low, high):
    assert high in imports(low, late=True) - imports(low, late=False)


@pytest.mark.parametrize("module", sorted(name for name in MODULES if ".core" in name))
def test_the_core_knows_nobody(module):
    others = {other for other in imports(module, late=True) if not other.startswith("changedet.core")}
    assert others <= {"changedet.errors"}


@pytest.mark.parametrize(
    ("low", "high"),
    [
        # a stage knows the one before it by its data type, never by its module
        ("changedet.providers", {"changedet.pipeline", "changedet.comparison", "changedet.output"}),
        (
            "changedet.output",
            {"changedet.pipeline", "changedet.access", "changedet.cli", "changedet.watch"},
        ),
        ("changedet.watch", {"changedet.cli"}),
        ("changedet.resample", {"changedet.site", "changedet.providers", "changedet.output"}),
        ("changedet.pairing", {"changedet.providers", "changedet.comparison", "changedet.output"}),
        ("changedet.comparison", {"changedet.providers", "changedet.pipeline", "changedet.output"}),
        ("changedet.objects", {"changedet.providers", "changedet.comparison", "changedet.output"}),
    ],
)
def test_what_comes_before_does_not_know_what_comes_after(low, high):
    own = [name for name in MODULES if name == low or name.startswith(f"{low}.")]
    known = {other for name in own for other in imports(name, late=False)}
    assert not {other for other in known if any(other == one or other.startswith(f"{one}.") for one in high)}
