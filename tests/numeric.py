"""The marker `numeric`: a test that trains, or compares floats, fails if it does not carry it.

Training is noticed as it happens, in this process and in those that the test starts: an optimizer makes a step. That
floats are compared is read from the source of the test, its fixtures, and what they call below this folder.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
WATCHING = TESTS / "watching"
COMPARES = {"allclose", "approx", "assert_allclose", "assert_almost_equal", "assert_close", "isclose"}
"""Functions that are for nothing but floats; `torch.equal` is another."""


class Numeric:
    """The check, as a plugin of pytest."""

    def __init__(self, tests: Path = TESTS) -> None:
        self._tests = tests
        handle, name = tempfile.mkstemp(prefix="dataflex-trained-")
        os.close(handle)
        self._file = Path(name)
        self._training: set[Any] = set()
        self._before = 0
        sitecustomize = _watch(self._file)
        self._variable = sitecustomize.FILE

    def pytest_unconfigure(self) -> None:
        os.environ.pop(self._variable, None)
        self._file.unlink(missing_ok=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._before = self._steps()
        if not _marked(item) and (found := sorted(set(self._compared(item)))):
            pytest.fail(f"compares floats ({', '.join(found)}): mark it, or its module, as numeric", pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Remembers which fixtures train: later tests get what they made."""
        before = self._steps()
        try:
            return (yield)
        finally:
            if self._steps() > before:
                self._training.add(fixturedef)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        yield
        trained = self._steps() > self._before or self._training.intersection(_fixtures(item))
        if trained and not _marked(item):
            pytest.fail("trains a model: mark it, or its module, as numeric", pytrace=False)

    def _steps(self) -> int:
        return self._file.stat().st_size

    def _compared(self, item: pytest.Item) -> Iterator[str]:
        functions = [getattr(item, "function", None), *(definition.func for definition in _fixtures(item))]
        seen: set[Any] = set()
        while functions:
            function = functions.pop()
            if function is None or function in seen or not _is_below(function, self._tests):
                continue
            seen.add(function)
            called, compared = _read(function)
            yield from compared
            functions += called


def _watch(file: Path) -> Any:
    """Have optimizers' steps noted in ``file``, here and in processes to come; the module that notes them."""
    spec = importlib.util.spec_from_file_location("watching_sitecustomize", WATCHING / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    os.environ["DATAFLEX_TESTS_TRAINED"] = str(file)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(WATCHING)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(WATCHING), *paths])
    spec.loader.exec_module(module)
    return module


def _marked(item: pytest.Item) -> bool:
    return item.get_closest_marker("numeric") is not None


def _fixtures(item: pytest.Item) -> list[Any]:
    found = getattr(item, "_fixtureinfo", None)
    return [] if found is None else [definition for each in found.name2fixturedefs.values() for definition in each]


def _is_below(function: Callable[..., Any], folder: Path) -> bool:
    try:
        return Path(inspect.getfile(function)).is_relative_to(folder)
    except TypeError:  # not of Python
        return False


@cache
def _read(function: Callable[..., Any]) -> tuple[list[Any], list[str]]:
    """The functions and classes that a function or a class names, and which names it compares floats by."""
    function = inspect.unwrap(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    scope = getattr(function, "__globals__", None) or vars(inspect.getmodule(function))
    called, compared = [], []
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if name in COMPARES or (isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.equal"):
            compared.append(str(name))
        if isinstance(node, ast.Name) and (inspect.isroutine(scope.get(name)) or inspect.isclass(scope.get(name))):
            called.append(scope[name])
    return called, compared
