"""What LLaMA-Factory's keys may be set to, as far as their declared types say so in words that settings are made of.

LLaMA-Factory takes whatever a file holds, and trips over a number that is text only where it counts with it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from dataflex_core.llamafactory.keys import declared_types
from dataflex_core.wording import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A number, true or false, or one of ``choices``; null is always let through."""

    number: bool = False
    boolean: bool = False
    choices: tuple[object, ...] = ()

    def __or__(self, other: Accepted) -> Accepted:
        return Accepted(
            number=self.number or other.number,
            boolean=self.boolean or other.boolean,
            choices=self.choices + other.choices,
        )

    def takes(self, value: object) -> bool:
        """Whether ``value`` is one. 1 and 0 pass for true and false, and the other way round, as in Python."""
        if isinstance(value, bool | int | float):
            return self.number or self.boolean or value in self.choices
        return value is None or value in self.choices

    def json_schema(self) -> dict[str, Any]:
        """The same for editors, which are not told of references: ``${...}`` is text to them."""
        arms: list[dict[str, Any]] = [{"type": "null"}, {"type": "string", "pattern": r"\$\{"}]
        arms += [{"enum": list(self.choices)}] if self.choices else []
        arms += [{"type": "number"}] if self.number else []
        arms += [{"type": "boolean"}] if self.boolean else []
        return {"anyOf": arms}


def accepted(key: str) -> Accepted | None:
    """What ``key`` may be set to; None where its type does not say, as of text, or is not known."""
    declared = (declared_types() or {}).get(key)
    return None if declared is None else _read(declared)


def misfit(key: str, value: object) -> tuple[str, str] | None:
    """What is wrong with ``value`` and what to write, or None where nothing is known to be wrong."""
    allowed = accepted(key)
    if allowed is None or allowed.takes(value):
        return None
    if allowed.choices:
        choices = [str(choice) for choice in allowed.choices]
        return f"{key}={value!r} is none of {', '.join(choices)}", did_you_mean(str(value), choices)
    wanted = "a number" if allowed.number else "true or false"
    quotes = isinstance(value, str) and allowed.takes(_without_quotes(value))
    return f"{key}={value!r} is not {wanted}", "write it without quotes" if quotes else f"write {wanted}"


def _without_quotes(text: str) -> object:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _read(declared: ast.expr) -> Accepted | None:
    match declared:
        case ast.Constant(value=None):
            return Accepted()
        case ast.Name(id="int" | "float"):
            return Accepted(number=True)
        case ast.Name(id="bool"):
            return Accepted(boolean=True)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _either(left, right)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _read(inner)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=arms)):
            return _either(*arms)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            arms = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return Accepted(choices=tuple(arm.value for arm in arms if isinstance(arm, ast.Constant)))
    return None


def _either(*arms: ast.expr) -> Accepted | None:
    both = Accepted()
    for arm in arms:
        read = _read(arm)
        if read is None:
            return None
        both |= read
    return both
