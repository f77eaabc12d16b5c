"""Reading journals, of this version and of those before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.journal.codec import from_record
from dataflex_core.journal.events import EVENTS, SCHEMA, Event, Start
from dataflex_core.others_files import json_of


def read_journal(path: Path) -> Iterator[Event]:
    """The events of a journal, in order, whatever schema up to `SCHEMA` it was written in.

    A torn last line, as a killed run leaves it, is passed over, and so are events and keys that this version does not
    know: later versions of the same schema may add them. Raises `DataError`, which names file and line, for a journal
    of a later schema and for a line that is no event.
    """
    with path.open("rb") as file:
        yield from events_in(file, path)


def events_in(lines: Iterable[bytes], path: Path) -> Iterator[Event]:
    """What `read_journal` gives of a file of these lines; ``path`` names it in errors."""
    schema = 1  # which did not say so
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return
        try:
            record = _record(line)
            schema = record.get("schema", schema)
            if schema > SCHEMA or record.get("event") in EVENTS:
                yield from_record(record, schema=schema)
        except DataError as wrong:
            raise DataError(f"{path}, line {number}: {wrong.message}", hint=wrong.hint) from wrong


def run_of(path: Path) -> str | None:
    """The run that a journal is of, or None where it was killed before it said so. Raises as `read_journal` does."""
    first = next(read_journal(path), None)
    return first.run if isinstance(first, Start) else None


def journal_of(folder: Path, run: str) -> Path:
    """The journal of ``run``, also where later runs in the same folder have moved it out of their way.

    ``journal.jsonl`` where none says that it is; those that cannot be read do not.
    """
    found = (path for path in sorted(folder.glob("journal*.jsonl")) if _is_of(path, run))
    return next(found, folder / "journal.jsonl")


def _is_of(path: Path, run: str) -> bool:
    try:
        return run_of(path) == run
    except DataError:
        return False


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json_of(line.decode("utf-8"))
    except ValueError:  # of which bytes that are no UTF-8 are one
        record = None
    if not isinstance(record, dict) or not _is_said_to_be(record, event=str, schema=int):
        raise DataError("no event of a journal", hint="the file was changed, or is no journal")
    return record


def _is_said_to_be(record: dict[str, Any], **types: type) -> bool:
    """Whether what ``record`` has of these keys is of their types."""
    return all(isinstance(record[key], kind) for key, kind in types.items() if key in record)
