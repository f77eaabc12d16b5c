"""The rows of files as arrow tables, piece by piece, as the datasets library reads them.

The same readers with the same settings, so that what they take and what they refuse is what a run will meet.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex_core.llamafactory.datasets.broken import Broken, broken_array, broken_lines, not_text
from dataflex_core.llamafactory.datasets.files import Files
from dataflex_core.llamafactory.datasets.wrong import Unreadable, Wrong
from dataflex_core.wording import first_line

_CHUNK, _BLOCK = 10 << 20, (10 << 20) // 32
_CSV_ROWS = 10_000
WHOLE = 256 << 20
"""The most bytes of a file that has to be read as a whole, a JSON list, for it to be looked into."""


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
    schema: Any = None
    wrong: list[Wrong] = []
    for path in files.paths:
        start = 0
        try:
            for table in read(path):
                if schema is None:
                    schema = _schema(path) if files.type in ("parquet", "arrow") else table.schema
                yield Piece(file=path, start=start, table=_cast(table, schema, path, start, files.paths[0]))
                start += table.num_rows
        except Unreadable as error:
            wrong += error.wrong
            if (sound := _sound(error.rows)) is not None:
                yield Piece(file=path, start=start, table=sound, lines=error.lines)
    if wrong:
        raise Unreadable(*wrong)
    if schema is None:
        where = files.paths[0] if len(files.paths) == 1 else files.paths[0].parent
        raise Unreadable(_empty(where))


def _sound(rows: Sequence[Any]) -> Any:
    """Rows of a broken file as a table; None where they do not make one."""
    try:
        return _table(rows) if rows else None
    except Exception:  # a reason why the file is broken has been found
        return None


def _cast(table: Any, schema: Any, path: Path, start: int, first: Path) -> Any:
    if table.schema.equals(schema):
        return table
    if set(table.column_names) == set(schema.names) and all(table.schema.field(f.name).type == f.type for f in schema):
        return table.select(schema.names)
    from datasets.table import table_cast

    try:
        return table_cast(table, schema)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise Unreadable(_unlike(table, schema, path, start, first, error)) from error


def _unlike(table: Any, schema: Any, path: Path, start: int, first: Path, error: Exception) -> Wrong:
    """Why rows do not go together with those that were read before them."""
    beyond = [name for name in table.column_names if name not in schema.names]
    before = f"in {first}" if path != first else f"before row {start + 1}"
    if beyond:
        said = f"column {beyond[0]!r} is not {before}, which was read first: the columns are {', '.join(schema.names)}"
        hint = "give all files the same columns, or take it out"
    else:
        unlike = [f.name for f in schema if f.name in table.column_names and table.schema.field(f.name).type != f.type]
        name = next((name for name in unlike if not _casts(table, schema, name)), unlike[0] if unlike else None)
        if name is None:
            said, hint = first_line(error), "give all rows the same columns and types"
        else:
            there, here = schema.field(name).type, table.schema.field(name).type
            said, hint = f"column {name!r} is {here}, and {there} {before}", "write it the same way in all rows"
    return Wrong(kind="unlike", said=said, hint=hint, file=str(path), row=start + 1)


def _casts(table: Any, schema: Any, name: str) -> bool:
    import pyarrow as pa
    from datasets.table import table_cast

    try:
        table_cast(table.select([name]), pa.schema([schema.field(name)]))
    except (ValueError, TypeError, NotImplementedError):
        return False
    return True


def _json(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with path.open("rb") as file:
        listed = _first_byte(file) == b"["
        if listed:
            yield _json_list(path)
            return
        file.seek(0)
        row = line = 0
        while batch := file.read(_CHUNK):
            batch += file.readline()
            try:
                table = _parse(batch)
                table.validate(full=True)  # text that is not UTF-8 is found here, or where a row is read
            except pa.ArrowInvalid as error:
                yield _by_pandas(path, error, broken_lines, path, batch, line, row)
                return
            except (pa.ArrowException, TypeError) as error:
                raise _unreadable(path, error, broken_lines(path, batch, line, row)) from error
            yield table
            row, line = row + table.num_rows, line + batch.count(b"\n")


def _parse(batch: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.json as reader

    block = _BLOCK
    while True:
        try:
            return reader.read_json(io.BytesIO(batch), read_options=reader.ReadOptions(block_size=block))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            if (isinstance(error, pa.ArrowInvalid) and "straddling" not in str(error)) or block > len(batch):
                raise
            block *= 2


def _json_list(path: Path) -> Any:
    """A list of objects, or of texts, in one table."""
    import pyarrow as pa

    if path.stat().st_size > WHOLE:
        raise TooLarge
    try:
        rows = json.loads(path.read_bytes().decode("utf-8"))
    except ValueError as error:
        return _by_pandas(path, error, broken_array, path)
    try:
        if rows and all(isinstance(row, str) for row in rows):
            return pa.table({"text": rows})
        if all(isinstance(row, dict) for row in rows):
            return _table(rows)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        return _by_pandas(path, error, broken_array, path)
    return _by_pandas(path, ValueError("it is no list of objects"), broken_array, path)


def _table(rows: Sequence[Any]) -> Any:
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows], from_pandas=True) for name in names})


class TooLarge(Exception):
    """The file is larger than what is looked into."""


def _by_pandas(path: Path, error: Exception, explain: Callable[..., Broken], *of: Any) -> Any:
    """The table that the datasets library falls back to. Raises `Unreadable` where there is none."""
    import pandas as pd
    import pyarrow as pa

    try:
        if path.stat().st_size > WHOLE:
            raise error
        with path.open(encoding="utf-8") as file:
            frame = pd.read_json(file, dtype_backend="pyarrow")
        if frame.columns.tolist() == [0]:
            frame.columns = ["text"]
        return pa.Table.from_pandas(frame, preserve_index=False)
    except Exception as refused:  # whatever a reader raises, the run would end
        said = error if isinstance(refused, ValueError) else refused
        raise _unreadable(path, said, explain(*of)) from refused


def _unreadable(path: Path, error: Exception, why: Broken) -> Unreadable:
    """With what was found in the file, or in the reader's own words where nothing was."""
    return Unreadable(*why.wrong or [_refused(path, error)], rows=why.rows, lines=why.lines)


def _csv(path: Path) -> Iterator[Any]:
    import pandas as pd
    import pyarrow as pa

    try:
        for frame in pd.read_csv(path, iterator=True, chunksize=_CSV_ROWS):
            yield pa.Table.from_pandas(frame)
    except pd.errors.EmptyDataError as error:
        raise Unreadable(_empty(path)) from error
    except (ValueError, TypeError) as error:
        raise Unreadable(not_text(path) or _refused(path, error)) from error


def _text(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    try:
        with path.open(encoding="utf-8") as file:
            while batch := file.read(_CHUNK):
                lines = io.StringIO(batch + file.readline()).readlines()
                yield pa.table({"text": [line.rstrip("\n") for line in lines]})
    except ValueError as error:
        raise Unreadable(not_text(path) or _refused(path, error)) from error


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_CSV_ROWS):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, ValueError, OSError) as error:
        raise Unreadable(_refused(path, error)) from error


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
        raise Unreadable(_refused(path, error)) from error


def _schema(path: Path) -> Any:
    """What a file with a schema of its own says, without the rows."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    if path.suffix == ".parquet":
        return parquet.read_schema(path).remove_metadata()
    with path.open("rb") as file:
        try:
            return pa.ipc.open_stream(file).schema.remove_metadata()
        except (OSError, pa.ArrowInvalid):
            return pa.ipc.open_file(file).schema.remove_metadata()


_READERS: Mapping[str, Callable[[Path], Iterator[Any]]] = {
    "arrow": _arrow,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "text": _text,
}


def _first_byte(file: Any) -> bytes:
    start: bytes = file.read(1 << 16).lstrip(b"\xef\xbb\xbf").lstrip()
    return start[:1]


def _empty(path: Path) -> Wrong:
    what = "no file of the folder has a row" if path.is_dir() else "the file is empty"
    return Wrong(kind="empty", said=what, hint="write rows to it", file=str(path))


def _refused(path: Path, error: Exception) -> Wrong:
    return Wrong(
        kind="refused", said=f"it cannot be read: {first_line(error)}", hint="write the file anew", file=str(path)
    )
