"""The rows of JSON files as arrow tables: lines with an object each by Arrow's reader, lists as pandas reads them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dataflex_core.llamafactory.datasets.broken import Broken, broken_array, broken_lines, fewest_refused, refused
from dataflex_core.llamafactory.datasets.wrong import Unreadable, Wrong, words_of

_CHUNK, _BLOCK = 10 << 20, (10 << 20) // 32
WHOLE = 256 << 20
"""The most bytes of a file that has to be read as a whole, a JSON list, for it to be looked into."""

# Of what only Arrow's reader refuses: a part of its words, ours, and what to do.
_REFUSED = (
    ("surrogate pair", "half of a character, a surrogate without the other, is in the line", "write it whole"),
    ("specified twice", "the line has the key {} twice", "take one of them out"),
    ("too big", "a number of the line is too large", "write a smaller one, or text"),
)


class TooLarge(Exception):
    """The file is larger than what is looked into."""


def json_tables(path: Path) -> Iterator[Any]:
    """The rows of a JSON file. Raises `Unreadable` where a run would end, and `TooLarge`."""
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
            except pa.ArrowInvalid as error:
                yield _by_pandas(path, error, _why, path, batch, line, row)
                return
            except (pa.ArrowException, TypeError) as error:
                raise _unreadable(path, error, _why(path, batch, line, row)) from error
            yield table
            row, line = row + table.num_rows, line + batch.count(b"\n")


def _parse(batch: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.json as reader

    block = _BLOCK
    while True:
        try:
            table = reader.read_json(io.BytesIO(batch), read_options=reader.ReadOptions(block_size=block))
            table.validate(full=True)  # text that is not UTF-8 is found here, or where a row is read
            return table
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            if (isinstance(error, pa.ArrowInvalid) and "straddling" not in str(error)) or block > len(batch):
                raise
            block *= 2


def _why(path: Path, batch: bytes, line: int, row: int) -> Broken:
    """What is wrong in lines that were refused: by what each of them holds, or else the first that is refused."""
    found = broken_lines(path, batch, line, row)
    if found.wrong:
        return found
    texts = batch.split(b"\n")
    places = [place for place, text in enumerate(texts) if text.strip()]
    most = fewest_refused(
        len(places), lambda count: _error(b"\n".join(texts[place] for place in places[:count])) is not None
    )
    if not places or (error := _error(b"\n".join(texts[place] for place in places[:most]))) is None:
        return found
    said, hint = _reworded(error)
    number = line + places[most - 1] + 1
    return Broken(wrong=[Wrong(kind="broken", said=said, hint=hint, file=str(path), line=number)])


def _error(batch: bytes) -> Exception | None:
    import pyarrow as pa

    try:
        _parse(batch)
    except (pa.ArrowException, TypeError) as error:
        return error
    return None


def _reworded(error: Exception) -> tuple[str, str]:
    for part, said, hint in _REFUSED:
        if part in str(error):
            key = re.search(r"\(/(.*)\)", str(error))
            return said.format(repr(key[1].replace("/", ".")) if key else "it names"), hint
    return f"the line cannot be read: {words_of(error).removeprefix('JSON parse error: ')}", "mend or remove it"


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
            if _renames_or_dates(rows):
                return _by_pandas(path, ValueError("it is no list of objects"), broken_array, path)
            return table_of(rows)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        return _by_pandas(path, error, broken_array, path)
    return _by_pandas(path, ValueError("it is no list of objects"), broken_array, path)


def _renames_or_dates(rows: Sequence[Any]) -> bool:
    """Whether pandas may make dates of values, or numbers of all names, for what the columns are called."""
    names = {name.lower() for row in rows for name in row}
    dated = names & {"modified", "date", "datetime"} or any(
        name.endswith(("_at", "_time")) or name.startswith("timestamp") for name in names
    )
    return bool(dated or (names and all(any(map(str.isdigit, name)) for name in names)))


def table_of(rows: Sequence[Any]) -> Any:
    """Objects as a table."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows], from_pandas=True) for name in names})


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
    return Unreadable(*why.wrong or [refused(path, error)], rows=why.rows, lines=why.lines)


def _first_byte(file: Any) -> bytes:
    start: bytes = file.read(1 << 16).lstrip(b"\xef\xbb\xbf").lstrip()
    return start[:1]
