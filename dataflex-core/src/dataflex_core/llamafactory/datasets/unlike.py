"""Rows whose columns and types are not those of the rows before them: the first that does not go together with them.

The datasets library takes columns and types from the first piece that it reads, and casts all others to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex_core.llamafactory.datasets.broken import fewest_refused, kinds
from dataflex_core.llamafactory.datasets.wrong import DATE, Unreadable, Wrong
from dataflex_core.wording import first_line

_LACKING = "without it"
_SHOWN = 40  # the longest text that is told as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The first piece: its file, its arrow schema, the columns without a value in it, and how much of a file it is."""

    file: Path
    schema: Any
    unfilled: Set[str] = frozenset()
    share: str = "rows before"

    def of(self, path: Path) -> str:
        """It, to be named beside rows of ``path``."""
        return f"the {self.share}" if path == self.file else str(self.file)


def cast(table: Any, first: First, path: Path, start: int) -> Any:
    """Rows under the columns and types of the first piece. Raises `Unreadable` with the first that do not fit."""
    schema = first.schema
    if table.schema.equals(schema):
        return table
    if set(table.column_names) == set(schema.names) and all(table.schema.field(f.name).type == f.type for f in schema):
        return table.select(schema.names)
    from datasets.table import table_cast

    try:
        return table_cast(table, schema)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise Unreadable(_unlike(table, first, path, start, error)) from error


def _unlike(table: Any, first: First, path: Path, start: int, error: Exception) -> Wrong:
    """Why rows do not go together with those that were read before them."""
    schema = first.schema
    beyond = [name for name in table.column_names if name not in schema.names]
    unlike = [f.name for f in schema if f.name in table.column_names and table.schema.field(f.name).type != f.type]
    name = next((name for name in unlike if not _casts(table, schema, name)), unlike[0] if unlike else None)
    place = 0
    if beyond:
        name = beyond[0]
        place = next(_filled(table, name), 0)
        said = f"column {name!r} is not in {first.of(path)}, which was read first: the columns are "
        said += ", ".join(schema.names)
        hint = "give all files the same columns, or take it out"
        if path == first.file:
            hint = "put a row that has a value of it first, or take it out"
    elif name is None:
        said, hint = first_line(error), "give all rows the same columns and types"
    else:
        place, here, there = _misfit(table, schema, name)
        hint = "write it the same way in all rows"
        if there == _LACKING:
            hint = "put a row that has it first"
        if name in first.unfilled:
            there, hint = "without a value", "put a row that has a value first"
        said = f"column {name!r} is {here} here, and {there} in {first.of(path)}, from which types are taken"
    return Wrong(kind="unlike", said=said, hint=hint, file=str(path), row=start + place + 1)


def _misfit(table: Any, schema: Any, name: str) -> tuple[int, str, str]:
    """The first row of a column that does not fit, what it is there, and what it is before; both in words."""
    there, column = schema.field(name).type, table[name]
    known = dict(_kinds_of_type(there, ""))
    place = next(_filled(table, name), 0)
    if _casts(table.slice(0, 0), schema, name):  # some values can be cast
        place = fewest_refused(table.num_rows, lambda count: not _casts(table.slice(0, count), schema, name)) - 1
        value = column[place].as_py()
        if isinstance(value, str) and len(value) <= _SHOWN:
            return place, repr(value), of_type(there)
        if isinstance(value, list | dict) and (seen := _differing(value, known)) is not None:
            return place, *seen
    else:
        for row in _filled(table, name):
            if (seen := _differing(column[row].as_py(), known)) is not None:
                return row, *seen
    return place, of_type(column.type), of_type(there)


def _differing(value: Any, known: Mapping[str, str | None]) -> tuple[str, str] | None:
    """What in a value is of no kind that is known, and what it is there, in words; None where all of it is."""
    for path, kind in kinds(value, ""):
        if path not in known:
            return f"an object with {path!r}", _LACKING
        if known[path] != kind:
            return _at(path, kind), _at(path, known[path] or "without a value")
    return None


def _at(path: str, kind: str) -> str:
    return f"{kind} ({path})" if path else kind


def _filled(table: Any, name: str) -> Iterator[int]:
    """The rows that have a value in a column."""
    import numpy as np

    yield from np.flatnonzero(np.asarray(table[name].is_valid())).tolist()


def _casts(table: Any, schema: Any, name: str) -> bool:
    import pyarrow as pa
    from datasets.table import table_cast

    try:
        table_cast(table.select([name]), pa.schema([schema.field(name)]))
    except (ValueError, TypeError, NotImplementedError):
        return False
    return True


def of_type(kind: Any) -> str:
    """What the values of an arrow type are, in words."""
    import pyarrow as pa

    known = (
        (pa.types.is_null, "without a value"),
        (pa.types.is_boolean, "true or false"),
        (pa.types.is_integer, "a whole number"),
        (pa.types.is_floating, "a number"),
        (pa.types.is_decimal, "a number"),
        (_is_text, "text"),
        (pa.types.is_temporal, DATE),
        (_is_list, "a list"),
        (pa.types.is_struct, "an object"),
    )
    return next((words for is_it, words in known if is_it(kind)), str(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _kinds_of_type(kind: Any, path: str) -> Iterator[tuple[str, str | None]]:
    """What `broken.kinds` says of the values of a type; None where it has none."""
    import pyarrow as pa

    words = of_type(kind)
    yield path, None if pa.types.is_null(kind) else "a number" if words == "a whole number" else words
    if _is_list(kind):
        yield from _kinds_of_type(kind.value_type, f"{path}[]")
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _kinds_of_type(field.type, f"{path}.{field.name}" if path else field.name)
