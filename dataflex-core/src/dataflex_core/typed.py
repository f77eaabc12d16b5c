"""JSON values as the types of dataclasses' fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dataflex_core.errors import DataError


def typed(kind: Any, value: Any, where: str, *, of: str = "journal") -> Any:
    """``value``, as JSON has it, as the type of a field, ``kind``.

    ``where`` it stands, and in what kind of file, ``of``, is for errors. Keys that a class does not know are passed
    over. Raises `DataError` for one that is missing, and a value of another type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is UnionType:  # of None or text, and one more type
        other = next((type_ for type_ in inner if type_ not in (str, NoneType)), str)
        return value if type(value) in inner else typed(other, value, where, of=of)
    if origin is tuple and inner[0] is int and isinstance(value, list) and {*map(type, value)} <= {int}:
        return tuple(value)  # of a step's samples there are many
    if origin is tuple and isinstance(value, list):
        return tuple(typed(inner[0], item, where, of=of) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return {key: typed(inner[1], item, f"{where}.{key}", of=of) for key, item in value.items()}
    if is_dataclass(kind) and isinstance(value, Mapping):
        return _made(kind, value, where, of=of)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    raise DataError(f"{where} of a {of} is {value!r}", hint=f"the file was changed, or is no {of}")


def _made(kind: Any, record: Mapping[str, Any], where: str, *, of: str) -> Any:
    given = {}
    for field in fields(kind):
        if field.name in record:
            given[field.name] = typed(_types(kind)[field.name], record[field.name], f"{where}.{field.name}", of=of)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{where} of a {of} lacks {field.name}", hint=f"the file was changed, or is no {of}")
    return kind(**given)


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
