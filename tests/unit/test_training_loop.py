"""The training loop that dataflex_core.trainer shows: every hook in it is there, and every hook is in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import dataflex_core.trainer

FOLDER = Path(dataflex_core.trainer.__file__).parent
OWN_HOOKS = {"begin", "finish_step", "finish", "state_of_run", "deciding"}


def functions(path):
    """Names of a module's functions."""
    return [item.name for item in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(item, ast.FunctionDef)]


def methods(path):
    """Class and name of each method of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for made in ast.walk(tree):
        if isinstance(made, ast.ClassDef):
            yield from ((made.name, item.name) for item in made.body if isinstance(item, ast.FunctionDef))


def shown():
    found = re.findall(r"^ {8,}.*? (\w+)\.(\w+)(?: {2,}|$)", dataflex_core.trainer.__doc__, re.MULTILINE)
    return {(module, hook) for module, hook in found if (FOLDER / f"{module}.py").is_file()}


def test_every_hook_that_is_shown_is_there():
    every = list(FOLDER.glob("*.py"))
    there = {(path.stem, name) for path in every for _, name in methods(path)}
    there |= {(path.stem, name) for path in every for name in functions(path)}
    assert len(shown()) > 25
    assert shown() <= there


def test_every_hook_into_the_stock_loop_is_shown():
    stock = {name for _, name in methods(FOLDER / "transformers_trainer.py")} - {"__init__", "add_callback"}
    hooks = {
        (path.stem, name)
        for path in FOLDER.glob("*.py")
        for owner, name in methods(path)
        if owner.endswith("Trainer") and name in stock | OWN_HOOKS and path.stem != "transformers_trainer"
    }
    # What the base has for the others to extend, and does nothing.
    assert hooks - shown() <= {("base", "deciding")}
