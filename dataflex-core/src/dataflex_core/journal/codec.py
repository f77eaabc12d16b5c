"""Events as JSON objects and back: the fields of their classes, with the name of the event under ``event``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dataflex_core.errors import DataError
from dataflex_core.journal.events import EVENTS, SCHEMA, Event
from dataflex_core.wording import did_you_mean

_HINT = "the file was changed, or is no journal"


def to_record(event: Event) -> dict[str, Any]:
    """The JSON object of an event, in the present `SCHEMA`: lists for tuples, ``event`` first."""
    return {"event": event.event, **_plain(event)}


def from_record(record: Mapping[str, Any], *, schema: int = SCHEMA) -> Event:
    """The event of a JSON object that was written in ``schema``; its own ``schema``, if it has one, becomes `SCHEMA`.

    Keys that its class does not know are passed over: an addition leaves the schema as it is. Raises `DataError` for an
    unknown event, a key that is missing, a value of another type, and a schema later than `SCHEMA`.
    """
    if schema > SCHEMA:
        raise DataError(
            f"the journal was written in schema {schema}, this version reads up to {SCHEMA}",
            hint="read it with the version that wrote it",
        )
    name = record.get("event")
    if not isinstance(name, str) or name not in EVENTS:
        raise DataError(f"a journal has no event {name!r}", hint=did_you_mean(str(name), EVENTS))
    if schema < 2:
        record = _from_schema_1(record)
    event: Event = typed(EVENTS[name], record, name)
    return event


def _from_schema_1(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Schema 1 said ``candidates`` for what a decision judges, and neither its number nor what a step costs."""
    if record["event"] != "start" or "candidates" not in record:
        return record
    return {**record, "schema": SCHEMA, "judged": record["candidates"], "step_cost": 0.0}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def typed(kind: Any, value: Any, where: str) -> Any:
    """``value``, as JSON has it, as the type of a field, ``kind``; ``where`` names it in errors.

    Keys that a class does not know are passed over. Raises `DataError` as `from_record` does.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is UnionType:  # of None or text, and one more type
        plain = next((type_ for type_ in inner if type(value) is type_), None)
        return value if plain is not None else typed(next(k for k in inner if k not in (str, NoneType)), value, where)
    if origin is tuple and inner[0] is int and isinstance(value, list) and {*map(type, value)} <= {int}:
        return tuple(value)  # of a step's samples there are many
    if origin is tuple and isinstance(value, list):
        return tuple(typed(inner[0], item, where) for item in value)
    if origin is Mapping and isinstance(value, Mapping):
        return {key: typed(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(kind) and isinstance(value, Mapping):
        return _made(kind, value, where)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    raise DataError(f"{where} of a journal is {value!r}", hint=_HINT)


def _made(kind: Any, record: Mapping[str, Any], where: str) -> Any:
    given = {}
    for field in fields(kind):
        if field.name in record:
            given[field.name] = typed(_types(kind)[field.name], record[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{where} of a journal lacks {field.name}", hint=_HINT)
    return kind(**given)


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
