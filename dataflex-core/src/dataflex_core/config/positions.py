"""Where a key stands in a configuration file, in lines and columns from one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Key = tuple[str | int, ...]
Position = tuple[int, int]


def positions(path: Path) -> Mapping[Key, Position]:
    """Every key of a YAML or JSON file, and every item of its lists; empty where the file cannot be read as one."""
    import yaml

    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        return dict(_walk(root, ())) if root is not None else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):  # the last of a list within itself
        return {}


def position_of(key: Sequence[str | int], known: Mapping[Key, Position]) -> Position | None:
    """Where ``key`` stands, or what it would stand in; None where the file has neither."""
    parts = tuple(key)
    return next((known[parts[:n]] for n in range(len(parts), 0, -1) if parts[:n] in known), None)


def syntax_position(error: BaseException) -> Position | None:
    """Where a parser stopped, if ``error`` or what it came from is one's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, json.JSONDecodeError):
            return cause.lineno, cause.colno
        mark = getattr(cause, "problem_mark", None) or getattr(cause, "context_mark", None)
        if mark is not None:
            return mark.line + 1, mark.column + 1
        cause = cause.__cause__
    return None


def _walk(node: Any, path: Key) -> Iterator[tuple[Key, Position]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield inner, (key.start_mark.line + 1, key.start_mark.column + 1)
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            inner = (*path, index)
            yield inner, (item.start_mark.line + 1, item.start_mark.column + 1)
            yield from _walk(item, inner)
