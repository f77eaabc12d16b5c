"""Rows taken out of the user's files by their numbers, and the index's entry for a file of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.datasets.entry import INDEX
from dataflex_core.llamafactory.datasets.files import TYPES, Files
from dataflex_core.llamafactory.datasets.tables import TooLarge, pieces
from dataflex_core.llamafactory.datasets.wrong import Unreadable
from dataflex_core.others_files import json_of
from dataflex_core.wording import first_line

_WHERE = frozenset(
    {
        "file_name",
        "hf_hub_url",
        "ms_hub_url",
        "om_hub_url",
        "script_url",
        "cloud_file_name",
        "subset",
        "folder",
        "split",
        "num_samples",
    }
)
"""Keys of an entry that say which rows are meant; all others say how a row is read."""


def taken_rows(file: Path, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows of a file at ``numbers``, ascending and distinct, the first is 1, as JSON values.

    Read one after the other; only a JSON list is read whole. Raises `DataError` for a file that cannot be read, one
    that has fewer rows, and a row for which JSON has no value.
    """
    wanted, last, found = set(numbers), numbers[-1] if numbers else 0, 0
    try:
        for number, row in enumerate(_rows(file), 1):
            if number in wanted:
                found += 1
                yield _plain(row, f"row {number} of {file}")
            if number >= last:
                break
    except (OSError, ValueError, TooLarge, Unreadable) as error:
        said = error.wrong[0].said if isinstance(error, Unreadable) else first_line(error)
        hint = "it was read when the samples were made: put it back as it was"
        raise DataError(f"{file} cannot be read: {said}", hint=hint) from error
    if found < len(wanted):
        hint = "the file has changed since: make the scores anew"
        raise DataError(f"{file} has fewer rows than the {last} that are asked for", hint=hint)


def _rows(file: Path) -> Iterator[Any]:
    kind = TYPES.get(file.suffix[1:])
    if kind == "json":
        yield from _json_rows(file)
        return
    if kind is None:
        raise ValueError("it is of no type that LLaMA-Factory reads")
    for piece in pieces(Files(paths=[file], type=kind)):
        yield from piece.table.to_pylist()


def _json_rows(file: Path) -> Iterator[Any]:
    with file.open("rb") as lines:
        start = lines.read(1 << 16).lstrip(b"\xef\xbb\xbf").lstrip()
        lines.seek(0)
        if start.startswith(b"["):
            for row in json_of(lines.read().decode("utf-8-sig")):
                yield row if isinstance(row, dict) else {"text": row}
            return
        for number, line in enumerate(lines):
            text = line.decode("utf-8-sig" if number == 0 else "utf-8").strip()
            if text:
                yield json_of(text)


def _plain(row: Any, where: str) -> dict[str, Any]:
    """A row that JSON can hold: what is missing is null, as in the tables that are read of files."""
    try:
        json.dumps(made := _without_nan(row), allow_nan=False)
    except (TypeError, ValueError) as error:
        hint = "leave such columns out of the data, or take rows from a JSON file"
        raise DataError(f"{where} has a value that JSON has not: {first_line(error)}", hint=hint) from error
    plain: dict[str, Any] = made
    return plain


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def entry_for(dataset_dir: Path, name: str, file_name: str) -> dict[str, Any]:
    """What the index of ``dataset_dir`` says of data set ``name``, of rows of it that lie in ``file_name``.

    Where the index is gone, or has no such data set, the file name is all that is known.
    """
    try:
        known = json_of((dataset_dir / INDEX).read_text(encoding="utf-8"))[name]
        kept = {key: value for key, value in known.items() if key not in _WHERE}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        kept = {}
    return {"file_name": file_name, **kept}


def write_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as JSON Lines; how many they are. Raises OSError where it cannot be written.

    A half of a surrogate pair, which JSON may hold and UTF-8 may not, is escaped as it was.
    """
    count = 0
    with file.open("wb") as out:
        for count, row in enumerate(rows, 1):  # noqa: B007  # it is what is answered
            # Outside of text JSON is ASCII, and Python escapes such a half as JSON does: by its four digits.
            out.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
    return count
