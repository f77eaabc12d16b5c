"""Values as JSON has them, the same in every process, and so that a type hint leads back to them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """``value`` in JSON's types, as pydantic reads it back where its type is declared.

    A dataclass is an object of its fields, an enum's member its value, a set a sorted list; an infinite number, a path,
    a date and whatever else JSON lacks is text. So is a key: as it is, or as JSON where it is no text, and of those
    numbers, true and false are read back.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=_text)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain_values(value)
    return _other(value)


def plain_values(params: Any) -> dict[str, Any]:
    """The values of a parameter dataclass's instance by name, those that are given when it is made, as `plain` ones."""
    return {field.name: plain(getattr(params, field.name)) for field in fields(params) if field.init}


def _key(key: Any) -> str:
    made = plain(key)
    return made if isinstance(made, str) else _text(made)


def _text(made: Any) -> str:
    return json.dumps(made, sort_keys=True)


def _other(value: Any) -> Any:
    import pydantic
    import pydantic_core

    if isinstance(value, pydantic.BaseModel):
        return plain(dict(value))
    try:
        return pydantic_core.to_jsonable_python(value, fallback=str, inf_nan_mode="strings")
    except ValueError:  # bytes that are no text
        return str(value)
