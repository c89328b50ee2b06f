"""Print the house figures of this project from its source, and fail when one does not hold.

    python tools/house.py [SOURCE] [TESTS]

Lines are lines of code: no blanks, comments or docstrings. The length of a function leaves out its docstring.
Public means: no leading underscore in the name or in the path of its module.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

MAX_P95_LINES = 45
MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 600
MIN_TEST_RATIO = 0.9

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Figure:
    """One figure, and whether it holds."""

    text: str
    holds: bool


def code_lines(path: Path) -> int:
    """Count the lines of code of a file."""
    text = path.read_text(encoding="utf-8")
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | _Function) and ast.get_docstring(node) is not None:
            prose.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for n, line in lines if line.strip() and not line.strip().startswith("#") and n not in prose)


def function_lines(node: _Function) -> int:
    """Count the lines of a function without its docstring."""
    span = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is None:
        return span
    return span - ((node.body[0].end_lineno or 0) - node.body[0].lineno + 1)


def undocumented(tree: ast.Module) -> list[str]:
    """List the public functions and classes of a module that have no docstring."""
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef | _Function)]
    return [n.name for n in nodes if not n.name.startswith("_") and ast.get_docstring(n) is None]


def figures(source: Path, tests: Path) -> list[Figure]:
    """Measure everything."""
    modules = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(source.rglob("*.py"))}
    sizes = {path: code_lines(path) for path in modules}
    functions = sorted(
        (function_lines(n), f"{path}:{n.lineno} {n.name}")
        for path, tree in modules.items()
        for n in ast.walk(tree)
        if isinstance(n, _Function)
    )
    p95 = functions[int(0.95 * (len(functions) - 1))][0]
    bare = [f"{path}: {name}" for path, tree in modules.items() for name in undocumented(tree)]
    ratio = sum(code_lines(path) for path in tests.rglob("*.py")) / sum(sizes.values())
    largest = max(sizes, key=lambda path: sizes[path])
    return [
        Figure(f"{len(modules)} modules, {sum(sizes.values())} lines of code", holds=True),
        Figure(f"longest module {largest}: {sizes[largest]} lines", sizes[largest] <= MAX_MODULE_LINES),
        Figure(f"95 % of {len(functions)} functions have at most {p95} lines", p95 <= MAX_P95_LINES),
        Figure(
            f"longest function {functions[-1][1]}: {functions[-1][0]}", functions[-1][0] <= MAX_FUNCTION_LINES
        ),
        Figure(f"{len(bare)} public names without a docstring {bare[:5] or ''}", not bare),
        Figure(f"{ratio:.2f} lines of test per line of source", ratio >= MIN_TEST_RATIO),
    ]


def main() -> int:
    """Print the figures; return 1 when one does not hold."""
    given = [Path(argument) for argument in sys.argv[1:]]
    source, tests = (given + [Path("src"), Path("tests")][len(given) :])[:2]
    measured = figures(source, tests)
    for figure in measured:
        print(f"{'ok  ' if figure.holds else 'FAIL'}  {figure.text}")
    return int(not all(figure.holds for figure in measured))


if __name__ == "__main__":
    sys.exit(main())
