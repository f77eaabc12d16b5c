"""Numbers that a run can have: finite, and as wide as what counts with them. By type, whatever they are for."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

LARGEST = 2**63 - 1
"""The largest whole number that counts samples and steps: they are 64 bits wide."""
MOST = 10**12
"""The most of anything that a run counts: steps, tokens, seconds. Products of two of them are still exact."""


def unfit(value: float) -> str | None:
    """What the number ``value`` should be; None where it is finite and not too large."""
    if isinstance(value, int):
        return "a number below 2^63" if abs(value) > LARGEST else None
    return None if math.isfinite(value) else "a finite number"


def misnumbered(hint: Any, value: Any, default: Any = None) -> Iterator[str]:
    """What is wrong with the numbers in ``value``, which is declared as ``hint``, as pydantic words it.

    Where a number is wanted, true and false are none; nor is infinity, unless it is the ``default``, nor NaN. What is
    no number at all is nobody's business here.
    """
    arms = arms_of(hint)
    if value == default and isinstance(value, float):
        return
    if isinstance(value, bool):
        if _takes_numbers(arms) and not any(arm in (bool, Any, object) or _names(arm, value) for arm in arms):
            yield f"input should be a number, not {str(value).lower()}"
    elif (number := _number(arms, value)) is not None:
        if (wanted := unfit(number)) is not None:
            yield f"input should be {wanted}"
    else:
        for arm in arms:
            yield from _within(arm, value)


def arms_of(hint: Any) -> list[Any]:
    """What a value declared as ``hint`` may be: the members of a union, without annotations."""
    origin = get_origin(hint)
    if origin is Annotated:
        return arms_of(get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return [inner for arm in get_args(hint) for inner in arms_of(arm)]
    return [hint]


def _takes_numbers(arms: Sequence[Any]) -> bool:
    return any(arm in (int, float) for arm in arms)


def _names(arm: Any, value: Any) -> bool:
    return get_origin(arm) is Literal and any(value is one for one in get_args(arm))


def _number(arms: Sequence[Any], value: Any) -> float | None:
    """``value`` as the number that it will be read as, text too; None where it will not be."""
    if not _takes_numbers(arms):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and str not in arms and not any(_names(arm, value) for arm in arms):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _within(arm: Any, value: Any) -> Iterator[str]:
    """The same of what ``value`` holds, where ``arm`` says what that is."""
    inner = get_args(arm)
    if is_dataclass(arm) and isinstance(value, Mapping):
        hints = typing.get_type_hints(arm, include_extras=True)
        for field in fields(arm):
            if field.name in value:
                yield from misnumbered(hints[field.name], value[field.name], field.default)
    elif isinstance(value, Mapping) and len(inner) == 2:
        for item in value.values():
            yield from misnumbered(inner[1], item)
    elif isinstance(value, list | tuple) and inner and get_origin(arm) is not Literal:
        each = [inner[0]] * len(value) if len(inner) == 1 or inner[-1] is ... else list(inner)
        for hint, item in zip(each, value, strict=False):
            yield from misnumbered(hint, item)
