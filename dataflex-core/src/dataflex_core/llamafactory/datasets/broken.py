"""Why a text file of rows cannot be read, with the line, once a reader has refused it."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dataflex_core.llamafactory.datasets.places import rows_of_list
from dataflex_core.llamafactory.datasets.wrong import Wrong, kind_of, words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """What is wrong with a file, and the rows that can be read all the same, with their lines."""

    wrong: Sequence[Wrong]
    rows: Sequence[Any] = ()
    lines: Sequence[int] = ()


def fewest_refused(count: int, refuses: Callable[[int], bool]) -> int:
    """The fewest of ``count`` rows, from the first on, that are refused; all of them are."""
    return bisect_left(range(1, count), True, key=refuses) + 1


def refused(path: Path, error: Exception) -> Wrong:
    """A file that a reader refuses for a reason of its own."""
    said = f"it cannot be read: {words_of(error)}"
    return Wrong(kind="refused", said=said, hint="write the file anew", file=str(path))


def not_text(path: Path) -> Wrong | None:
    """The first line that is not UTF-8, or None where all are."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    said = "the file is UTF-16, and not UTF-8"
                else:
                    said = f"the byte {line[error.start]:#04x} is not UTF-8"
                return Wrong(kind="encoding", said=said, hint="save the file as UTF-8", file=str(path), line=number)
    return None


def broken_lines(path: Path, batch: bytes, line: int, row: int) -> Broken:
    """What is wrong in a batch of lines with an object each, ``line`` lines and ``row`` rows being before it."""
    if (strange := not_text(path)) is not None:
        return Broken(wrong=[strange])
    rows: list[Any] = []
    lines: list[int] = []
    wrong: list[Wrong] = []
    for number, text in enumerate(batch.decode("utf-8").removeprefix("\ufeff").split("\n"), line + 1):
        if not text.strip():
            continue
        try:
            rows.append(json.loads(text))
            lines.append(number)
        except ValueError as error:
            wrong.append(_broken(path, number, text, error))
    if not rows and not wrong:
        empty = Wrong(kind="empty", said="the file has no rows", hint="write some", file=str(path))
        return Broken(wrong=[empty])
    if wrong and all(isinstance(one, dict) for one in rows):
        return Broken(wrong=wrong, rows=rows, lines=lines)
    return Broken(wrong=wrong or _unlike(path, rows, lines, row))


def _broken(path: Path, number: int, text: str, error: ValueError) -> Wrong:
    at = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip()) - 1
    cut = cut or what.startswith("Unterminated string")
    said = f"the line is cut off or broken{at}: {what}" if cut else f"the line is no JSON{at}: {what}"
    return Wrong(kind="broken", said=said, hint="mend or remove it", file=str(path), line=number)


def broken_array(path: Path) -> Broken:
    """What is wrong in a file that holds one list of objects."""
    if (strange := not_text(path)) is not None:
        return Broken(wrong=[strange])
    text = path.read_bytes().decode("utf-8")
    if text.startswith("\ufeff"):
        said = "the file begins with a byte order mark, with which a list is not read"
        return Broken(wrong=[Wrong(kind="encoding", said=said, hint="save it without one", file=str(path), line=1)])
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        sound, lines = rows_of_list(text)
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        within = f" in row {len(sound) + 1:,}" if text[error.pos : error.pos + 1] != "]" else ""
        said = f"it is no JSON{within} at column {error.colno}: {error.msg}"
        said = f"the file ends in the middle of row {len(sound) + 1:,}: {error.msg}" if cut else said
        wrong = Wrong(kind="broken", said=said, hint="mend the file", file=str(path), line=error.lineno)
        return Broken(wrong=[wrong], rows=sound if all(isinstance(one, dict) for one in sound) else [], lines=lines)
    except (ValueError, RecursionError):
        return Broken(wrong=[])
    if not isinstance(rows, list):
        return Broken(wrong=[])
    lines = rows_of_list(text)[1]
    lines = lines if len(lines) == len(rows) else []
    return Broken(wrong=_unlike(path, rows, lines, 0) or _unheld(path, rows, lines))


def _unheld(path: Path, rows: Sequence[Any], lines: Sequence[int]) -> list[Wrong]:
    """The first value of a list of objects that no column can hold, as far as a value by itself tells."""
    for is_it, said, hint in _UNHELD:
        for place, row in enumerate(rows):
            name = next((name for name, value in row.items() if any(map(is_it, _leaves(value)))), None)
            if name is not None:
                line, said = lines[place] if lines else None, f"column {name!r} holds {said}"
                return [Wrong(kind="unheld", said=said, hint=hint, file=str(path), row=place + 1, line=line)]
    return []


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _leaves(item)
    else:
        yield value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_LARGE = "a whole number that does not fit into 64 bits"
_AS_TEXT = "write it as text in all rows"
# The surest first: a list may hold any one of the others, as long as all of it goes together.
_UNHELD: Sequence[tuple[Callable[[Any], bool], str, str]] = (
    (lambda value: _is_whole(value) and not -(2**63) <= value < 2**64, _LARGE, _AS_TEXT),
    (
        lambda value: isinstance(value, str) and re.search("[\udc00-\udfff]", value) is not None,
        "half of a character, a surrogate without the other",
        "write it whole",
    ),
    (lambda value: _is_whole(value) and value >= 2**63, _LARGE, _AS_TEXT),
)


def _unlike(path: Path, rows: Sequence[Any], lines: Sequence[int], before: int) -> list[Wrong]:
    """Rows that are no objects, and columns whose values are of different kinds."""

    def wrong(kind: str, said: str, hint: str, place: int) -> Wrong:
        line = lines[place] if lines else None
        return Wrong(kind=kind, said=said, hint=hint, file=str(path), row=before + place + 1, line=line)

    found = []
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            found.append(wrong("row", f"the row is {kind_of(row)}, not an object", "write an object of columns", place))
    if found:
        return found
    for name in dict.fromkeys(name for row in rows for name in row):
        seen = _first_unlike(row.get(name) for row in rows)
        if seen is not None:
            where = f"column {name!r}" + (f" ({seen.path})" if seen.path else "")
            said = f"{where} is {seen.kind} here, and {seen.kind_before} in row {before + seen.row_before + 1}"
            found.append(wrong(f"unlike {name}", said, "write it the same way in all rows", seen.row))
    return found


class _Unlike(NamedTuple):
    """Two values of different kinds in a column of two rows, at ``path`` within it where it is a list or object."""

    row_before: int
    kind_before: str
    row: int
    kind: str
    path: str


def _first_unlike(values: Iterable[Any]) -> _Unlike | None:
    seen: dict[str, tuple[int, str]] = {}
    for row, value in enumerate(values):
        for path, kind in kinds(value, ""):
            row_before, kind_before = seen.setdefault(path, (row, kind))
            if kind_before != kind:
                return _Unlike(row_before, kind_before, row, kind, path)
    return None


def kinds(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """What a value is, and all that it holds, each by its path; nothing of null."""
    if value is None:
        return
    yield path, kind_of(value)
    if isinstance(value, list):
        for item in value:
            yield from kinds(item, f"{path}[]")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from kinds(item, f"{path}.{name}" if path else str(name))
