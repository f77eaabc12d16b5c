"""The modules of all packages stand in one order, that of docs/architecture.md, and import only what is above them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LISTED = re.findall(r"^- `([\w/]+\.py)`: .", PAGE, re.MULTILINE)
SOURCES = {
    str(path.relative_to(source)): path.read_text(encoding="utf-8")
    for source in sorted(ROOT.glob("dataflex-*/src"))
    for path in sorted(source.rglob("*.py"))
}


def imported(code: str, files: Mapping[str, str]) -> set[str]:
    """The ``files`` that a module imports anywhere: at the top, in functions, for the type checker."""

    def file_of(module: str) -> set[str]:
        base = module.replace(".", "/")
        return {f"{base}.py", f"{base}/__init__.py"} & files.keys()

    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {file for name in node.names for file in file_of(name.name)}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for name in node.names:
                found |= file_of(f"{node.module}.{name.name}") or file_of(node.module or "")
    return found


def out_of_order(file: str, order: Sequence[str], files: Mapping[str, str]) -> list[str]:
    """What ``file`` imports that does not stand above it; modules without code stand nowhere and may be imported."""
    above = set(order[: order.index(file)]) if file in order else set()
    return sorted(name for name in imported(files[file], files) - above if has_code(files[name]))


def has_code(code: str) -> bool:
    """Whether a module is more than its docstring."""
    body = ast.parse(code).body
    return bool(body) and not (len(body) == 1 and isinstance(body[0], ast.Expr))


@pytest.mark.parametrize("file", LISTED)
def test_a_module_imports_only_what_is_above_it(file):
    assert out_of_order(file, LISTED, SOURCES) == []


def test_every_module_has_one_place():
    assert len(LISTED) == len(set(LISTED))
    assert set(LISTED) - SOURCES.keys() == set(), "listed, and not there"
    assert {file for file, code in SOURCES.items() if has_code(code)} - set(LISTED) == set(), "not listed"


MADE_UP = {
    "p/__init__.py": '"""A package."""',
    "p/low.py": "import json",
    "p/high.py": "from p.low import x",
}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, {}),
        ({"p/low.py": "from p.high import y", "p/high.py": "y = 1"}, {"p/low.py": ["p/high.py"]}),
        ({"p/low.py": "import p.high"}, {"p/low.py": ["p/high.py"]}),
        ({"p/low.py": "from p import high"}, {"p/low.py": ["p/high.py"]}),
        ({"p/low.py": "def f():\n    from p.high import y"}, {"p/low.py": ["p/high.py"]}),
        ({"p/low.py": "if TYPE_CHECKING:\n    from p.high import Y"}, {"p/low.py": ["p/high.py"]}),
        ({"p/low.py": "from p.new import z", "p/new.py": "z = 1"}, {"p/low.py": ["p/new.py"]}),
        ({"p/low.py": "import p"}, {}),
        ({"p/low.py": "from p import y", "p/__init__.py": "y = 1"}, {"p/low.py": ["p/__init__.py"]}),
    ],
)
def test_an_import_that_is_turned_round_is_found(change, broken):
    files, order = {**MADE_UP, **change}, ["p/low.py", "p/high.py"]
    found = {file: out_of_order(file, order, files) for file in order}
    # With each module above all that import it there is no circle.
    assert {file: names for file, names in found.items() if names} == broken
