"""The public face of the package: few names, quick to import, documented, and the examples hold."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import changedet

#: What users may rely on. Adding a name is a decision; removing one needs a deprecation.
PUBLIC = [
    "AccessOptions", "ChangeResult", "ChangedetError", "DetectSettings", "GeoPoint", "Image", "Kind",
    "LocalOptions", "RegisterSettings", "Registration", "Scene", "SelectionRules", "Site", "State", "detect",
    "open_run", "parse_point", "read_sites", "register", "run", "verify",
]  # fmt: skip
HEAVY = {
    "numpy", "scipy", "rasterio", "geopandas", "pandas", "shapely", "pyproj", "matplotlib", "xarray", "cv2",
    "odc", "mgrs", "jinja2", "typer", "rich",
}  # fmt: skip
ROOT = Path(changedet.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
#: Modules whose docstrings are a reference: every parameter is described.
REFERENCE = sorted(ROOT.joinpath("core").glob("*.py"))
MODULES = sorted(
    m.name for m in pkgutil.walk_packages([str(ROOT)], "changedet.") if not m.name.endswith("__main__")
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def public_definitions(path):
    """Public functions and classes of a file, and the public methods of those classes, with their names."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                        yield f"{node.name}.{part.name}", part


def parameters(node):
    return [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in {"self", "cls"}]


def sections(text):
    return set(re.findall(r"^\s*([A-Z][a-z]+)\n\s*-{4,}$", text or "", re.MULTILINE))


# --- names ------------------------------------------------------------------------------------------


def test_the_public_names_are_these_and_few():
    assert sorted(changedet.__all__) == sorted(PUBLIC)
    assert len(PUBLIC) <= 25
    assert set(PUBLIC) <= set(dir(changedet))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_documented_and_annotated(name):
    thing = getattr(changedet, name)
    assert inspect.getdoc(thing)
    assert thing.__module__.startswith("changedet.")
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = changedet.no_such_name


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_and_methods_describe_their_parameters(name):
    thing = getattr(changedet, name)
    found = [thing] if inspect.isfunction(thing) else []
    if inspect.isclass(thing):
        members = [m for n, m in vars(thing).items() if not n.startswith("_")]
        found = [getattr(m, "__func__", m) for m in members]
    for function in filter(inspect.isfunction, found):
        names = [p for p in inspect.signature(function).parameters if p not in {"self", "cls"}]
        text = inspect.getdoc(function)
        # one line may say it all where there is one parameter
        if len(names) > 1 or (names and "\n" in text):
            assert {"Parameters", "Returns"} <= sections(text), function.__qualname__
            assert all(re.search(rf"\b{n}\b", text) for n in names), function.__qualname__


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, changedet, changedet.errors; print(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & HEAVY == set()
    assert "changedet" in loaded


# --- docstrings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_module_and_public_name_has_a_docstring(path):
    if path.stat().st_size:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    missing = [name for name, node in public_definitions(path) if not ast.get_docstring(node)]
    assert missing == []


@pytest.mark.parametrize("path", REFERENCE, ids=name_of)
def test_the_core_describes_every_parameter_and_what_it_returns(path):
    missing = []
    for name, node in public_definitions(path):
        text = ast.get_docstring(node)
        if isinstance(node, ast.ClassDef):
            has_fields = any(isinstance(part, ast.AnnAssign) for part in node.body)
            if has_fields and "Attributes" not in sections(text):
                missing.append(name)
        elif parameters(node):
            described = all(re.search(rf"\b{p}\b", text) for p in parameters(node))
            gives_nothing = isinstance(node.returns, ast.Constant) and node.returns.value is None
            needed = {"Parameters"} if gives_nothing else {"Parameters", "Returns"}
            if not (described and needed <= sections(text)):
                missing.append(name)
    assert missing == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_function_is_fully_annotated(path):
    missing = []
    for name, node in public_definitions(path):
        if isinstance(node, ast.FunctionDef):
            arguments = [a for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in {"self", "cls"}]
            if node.returns is None or any(a.annotation is None for a in arguments):
                missing.append(name)
    assert missing == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_texts_claim_no_more_than_the_method_can(path):
    text = path.read_text(encoding="utf-8").lower()
    for word in ("confirmed", "no change", "artificial intelligence"):
        assert word not in text, word


def test_every_example_holds():
    failed, tried = {}, 0
    for name in MODULES:
        module = importlib.import_module(name)
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
        tried += result.attempted
        if result.failed:
            failed[name] = result.failed
    assert failed == {}
    assert tried > 40
