"""Whether LLaMA-Factory can render a row's tools, and the calls of them in its messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from dataflex_core.llamafactory.datasets.wrong import kind_of

_NEEDS_NAMES = frozenset({"default", "glm4", "gemma4"})
_READS_ARGUMENTS = frozenset({"seed_oss", "glm4_moe", "qwen3_5", "minimax2", "lfm2"})
_THOUGHT = ("<", "◁", "[THINK")


@lru_cache(maxsize=4096)
def tools_fault(text: str, form: str | None) -> str | None:
    """Why a text of tools cannot be rendered in ``form``, None where it can, or where ``form`` is not known."""
    try:
        tools = json.loads(text)
    except ValueError as error:
        return f"is no JSON: {error}"
    if not isinstance(tools, list | dict | str):
        return f"is {kind_of(tools)}, not a list of tools"
    if not tools or form == "seed_oss":
        return None
    if not isinstance(tools, list):
        return f"is {kind_of(tools)}, not a list of tools"
    for number, tool in enumerate(tools, 1):
        if not isinstance(tool, dict):
            return f"tool {number} is {kind_of(tool)}, not an object"
        for fault in _tool_faults(tool, form):
            return f"tool {number} {fault}"
    return None


def _tool_faults(tool: dict[str, Any], form: str | None) -> Iterator[str]:
    if form not in _NEEDS_NAMES:
        return
    function = tool.get("function", tool if form == "gemma4" else "") if tool.get("type") == "function" else tool
    if not isinstance(function, dict):
        yield 'has no object "function"'
        return
    if "name" not in function:
        yield 'has no "name"'
    if form == "default":
        if not isinstance(name := function.get("name", ""), str):
            yield f'has a "name" that is {kind_of(name)}, not text'
        yield from _parameter_faults(function)


def _parameter_faults(function: dict[str, Any]) -> Iterator[str]:
    parameters = function.get("parameters")
    if not isinstance(parameters, dict):
        yield 'has no "parameters"' if parameters is None else f'has "parameters" that are {kind_of(parameters)}'
        return
    properties = parameters.get("properties")
    if not isinstance(properties, dict):
        yield 'has "parameters" without "properties"'
        return
    required = parameters.get("required", [])
    if properties and not isinstance(required, list | str | dict):
        yield f'has "required" that is {kind_of(required)}'
    for name, one in properties.items():
        if not isinstance(one, dict):
            yield f"has a parameter {name!r} that is {kind_of(one)}, not an object"
            continue
        if (choices := one.get("enum")) and not _joins(choices):
            yield f"has a parameter {name!r} whose enum is not a list of texts"
        if (items := one.get("items")) and not isinstance(items, dict):
            yield f"has a parameter {name!r} whose items are {kind_of(items)}"


def _joins(value: Any) -> bool:
    return isinstance(value, str | list | dict) and all(isinstance(item, str) for item in value)


def call_fault(content: str, form: str | None) -> str | None:
    """Why a message that calls functions cannot be rendered; None where it can, or where it is more than JSON."""
    if any(mark in content for mark in _THOUGHT):
        return None
    try:
        calls = json.loads(content)
    except ValueError as error:
        return f"is no JSON: {error}"
    calls = calls if isinstance(calls, list) else [calls]
    if form == "glm4" and not calls:
        return "is an empty list, which this template cannot write"
    if form == "glm4" and len(calls) > 1:
        return "calls several functions, which this template does not write"
    for call in calls:
        if not isinstance(call, dict):
            return f"is {kind_of(call)}, not an object with a name and arguments"
        for name in ("name", "arguments"):
            if name not in call:
                return f'calls a function without "{name}"'
        if form == "seed_oss" and not isinstance(call["name"], str):
            return f'calls a function with a "name" that is {kind_of(call["name"])}, not text'
        if form in _READS_ARGUMENTS and not isinstance(call["arguments"], dict):
            return f'calls a function with "arguments" that are {kind_of(call["arguments"])}, not an object'
    return None
