"""What a template renders, read from LLaMA-Factory's source without importing it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The form in which it writes tools, and the media (``image``, ``video``, ``audio``) that it has a token for."""

    tool_format: str = "default"
    call_format: str = "default"
    media: frozenset[str] = frozenset()
    counts_media: bool = False


def template_of(name: Any, tool_format: Any = None) -> Template | None:
    """The template of that name, ``tool_format`` replacing its own; None where it is not known."""
    found = _templates().get(str(name)) if name else None
    if found is None or not tool_format:
        return found
    chosen = str(tool_format)
    return Template(tool_format=chosen, call_format=chosen, media=found.media, counts_media=found.counts_media)


@lru_cache(maxsize=1)
def _templates() -> Mapping[str, Template]:
    try:
        spec = importlib.util.find_spec("llamafactory")
        if spec is None or spec.origin is None:
            return {}
        tree = ast.parse((Path(spec.origin).parent / "data" / "template.py").read_text("utf-8"))
    except (OSError, SyntaxError):
        return {}
    found = {}
    for statement in tree.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "register_template":
            given = {word.arg: word.value for word in call.keywords if word.arg}
            if isinstance(name := given.get("name"), ast.Constant):
                found[str(name.value)] = _read(given)
    return found


def _read(given: Mapping[str, ast.expr]) -> Template:
    plugin = _words(given.get("mm_plugin"))
    return Template(
        tool_format=str(_words(given.get("format_tools")).get("tool_format", "default")),
        call_format=str(_words(given.get("format_function")).get("tool_format", "default")),
        media=frozenset(kind for kind in ("image", "video", "audio") if plugin.get(f"{kind}_token") is not None),
        counts_media=plugin.get("name", "base") != "base",
    )


def _words(call: ast.expr | None) -> dict[str, Any]:
    """The constants that a call is given by name."""
    if not isinstance(call, ast.Call):
        return {}
    return {word.arg: word.value.value for word in call.keywords if word.arg and isinstance(word.value, ast.Constant)}
