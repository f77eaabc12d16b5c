"""What the learning rate's schedules take, read from transformers' source without importing it."""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from pathlib import Path

_GIVEN = frozenset({"optimizer", "num_warmup_steps", "num_training_steps"})  # by transformers itself
_IGNORED = frozenset({"constant", "constant_with_warmup"})  # whatever they are given


@lru_cache(maxsize=1)
def _schedules() -> dict[str, ast.arguments]:
    """The arguments of each schedule's function, by the schedule's name; empty where the source is not as expected."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return {}
    try:
        tree = ast.parse((Path(spec.origin).parent / "optimization.py").read_text("utf-8"))
    except (OSError, SyntaxError):
        return {}
    made = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Attribute) and isinstance(value, ast.Name) and value.id in made:
                    found[key.attr.lower()] = made[value.id]
    return found


def settings_of(schedule: str) -> list[str] | None:
    """What ``lr_scheduler_kwargs`` may set of a schedule; None where it is not known, or may be anything."""
    arguments = _schedules().get(schedule)
    if arguments is None or arguments.kwarg is not None or schedule in _IGNORED:
        return None
    return [one.arg for one in (*arguments.args, *arguments.kwonlyargs) if one.arg not in _GIVEN]
