"""The rows of files as arrow tables, piece by piece, as the datasets library reads them.

The same readers with the same settings, so that what they take and what they refuse is what a run will meet.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex_core.llamafactory.datasets.broken import not_text, refused
from dataflex_core.llamafactory.datasets.files import Files
from dataflex_core.llamafactory.datasets.json_tables import TooLarge as TooLarge
from dataflex_core.llamafactory.datasets.json_tables import json_tables, table_of
from dataflex_core.llamafactory.datasets.unlike import First, cast
from dataflex_core.llamafactory.datasets.wrong import Unreadable, Wrong
from dataflex_core.wording import first_line

_CHUNK = 10 << 20
_CSV_ROWS = 10_000
_SHARES = {"csv": "first 10,000 rows", "json": "first 10 MB"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Rows of ``file`` that follow each other, the first of them being row ``start``, counted from 0.

    ``lines`` are those of the rows of a file with broken lines, where rows cannot be counted.
    """

    file: Path
    start: int
    table: Any
    lines: Sequence[int] = ()


def pieces(files: Files) -> Iterator[Piece]:
    """The rows in their order, under the columns and types of the first piece, as they are stored when they are loaded.

    Raises `Unreadable` where the run would end, too, at the end: of a broken file the sound lines come first.
    """
    read = _READERS[files.type]
    first: First | None = None
    wrong: list[Wrong] = []
    for path in files.paths:
        start = 0
        try:
            for table in read(path):
                first = first or _first(path, table, files.type)
                yield Piece(file=path, start=start, table=cast(table, first, path, start))
                start += table.num_rows
        except Unreadable as error:
            wrong += error.wrong
            if (sound := _sound(error.rows)) is not None:
                yield Piece(file=path, start=start, table=sound, lines=error.lines)
    if wrong:
        raise Unreadable(*wrong)
    if first is None:
        where = files.paths[0] if len(files.paths) == 1 else files.paths[0].parent
        raise Unreadable(_empty(where))


def _first(path: Path, table: Any, kind: str) -> First:
    """What columns and types are taken from: a file that has them by itself, or the first piece."""
    if kind in ("parquet", "arrow"):
        return First(file=path, schema=_schema(path))
    unfilled = frozenset(name for name in table.column_names if table[name].null_count == table.num_rows)
    return First(file=path, schema=table.schema, unfilled=unfilled, share=_SHARES.get(kind, "rows before"))


def _sound(rows: Sequence[Any]) -> Any:
    """Rows of a broken file as a table; None where they do not make one."""
    try:
        return table_of(rows) if rows else None
    except Exception:  # a reason why the file is broken has been found
        return None


def _csv(path: Path) -> Iterator[Any]:
    import pandas as pd
    import pyarrow as pa

    try:
        for frame in pd.read_csv(path, iterator=True, chunksize=_CSV_ROWS):
            yield pa.Table.from_pandas(frame)
    except pd.errors.EmptyDataError as error:
        raise Unreadable(_empty(path)) from error
    except (ValueError, TypeError) as error:
        raise Unreadable(not_text(path) or refused(path, error)) from error


def _text(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    try:
        with path.open(encoding="utf-8") as file:
            while batch := file.read(_CHUNK):
                lines = io.StringIO(batch + file.readline()).readlines()
                yield pa.table({"text": [line.rstrip("\n") for line in lines]})
    except ValueError as error:
        raise Unreadable(not_text(path) or refused(path, error)) from error


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_CSV_ROWS):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, ValueError, OSError) as error:
        raise Unreadable(refused(path, error)) from error


def _arrow(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            try:
                batches = iter(pa.ipc.open_stream(file))
            except (OSError, pa.ArrowInvalid):
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            for batch in batches:
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, ValueError, OSError) as error:
        raise Unreadable(refused(path, error)) from error


def _schema(path: Path) -> Any:
    """What a file with a schema of its own says, without the rows. Raises `Unreadable` for types that no run takes."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    if path.suffix == ".parquet":
        schema = parquet.read_schema(path)
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            said = f"column {twice!r} is there twice"
            raise Unreadable(Wrong(kind="twice", said=said, hint="take one of them out", file=str(path)))
        return _taken(schema, path)
    with path.open("rb") as file:
        try:
            return _taken(pa.ipc.open_stream(file).schema, path)
        except (OSError, pa.ArrowInvalid):
            return _taken(pa.ipc.open_file(file).schema, path)


def _taken(schema: Any, path: Path) -> Any:
    """The schema without what else is written there, if the datasets library takes it."""
    import pyarrow as pa
    from datasets import Features

    try:
        Features.from_arrow_schema(schema)
    except Exception as error:  # whatever it raises over what is written there, the run would end
        said, hint = f"what is written in it of its features cannot be read: {first_line(error)}", "write the file anew"
        for field in schema:
            try:
                Features.from_arrow_schema(pa.schema([field]))
            except Exception:  # the same
                said = f"column {field.name!r} is {field.type}, which the datasets library does not take"
                hint = "write it as another type, text or a list or an object, or take it out"
                break
        raise Unreadable(Wrong(kind="type", said=said, hint=hint, file=str(path))) from error
    return schema.remove_metadata()


_READERS: Mapping[str, Callable[[Path], Iterator[Any]]] = {
    "arrow": _arrow,
    "csv": _csv,
    "json": json_tables,
    "parquet": _parquet,
    "text": _text,
}


def _empty(path: Path) -> Wrong:
    what = "no file of the folder has a row" if path.is_dir() else "the file is empty"
    return Wrong(kind="empty", said=what, hint="write rows to it", file=str(path))
