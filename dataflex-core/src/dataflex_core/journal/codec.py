"""Events as JSON objects and back: the fields of their classes, with the name of the event under ``event``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.journal.events import EVENTS, SCHEMA, Event
from dataflex_core.typed import typed
from dataflex_core.wording import did_you_mean


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
