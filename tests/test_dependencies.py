"""What is imported is declared, and what is declared is imported."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def looked_at(folder):
    """What deptry says of a folder, with the settings of this project."""
    return subprocess.run(
        [sys.executable, "-m", "deptry", "."], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path):
    """A project with the settings of this one and a single module."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    return tmp_path


def test_imports_and_declared_dependencies_are_the_same():
    said = looked_at(ROOT)
    assert said.returncode == 0, said.stderr


def test_an_import_that_nobody_declared_is_found(copy):
    (copy / "module.py").write_text("import tensorflow\n", encoding="utf-8")
    said = looked_at(copy)
    assert said.returncode == 1
    assert "'tensorflow' imported but missing" in said.stderr


def test_a_dependency_that_nothing_imports_is_found(copy):
    (copy / "module.py").write_text("import numpy\n", encoding="utf-8")
    said = looked_at(copy)
    assert "'rasterio' defined as a dependency but not used" in said.stderr
    assert "'numpy' defined as a dependency" not in said.stderr


def test_what_needs_no_import_is_still_declared():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)
    groups = project["project"]["optional-dependencies"]
    lines = [line for group in (project["project"]["dependencies"], *groups.values()) for line in group]
    names = {line.split(">")[0].split("[")[0] for line in lines}
    assert set(project["tool"]["deptry"]["per_rule_ignores"]["DEP002"]) <= names


def test_every_dependency_says_the_oldest_that_works():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [line for line in project["dependencies"] if ">=" not in line] == []
