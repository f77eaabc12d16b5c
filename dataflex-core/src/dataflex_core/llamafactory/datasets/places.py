"""The lines of a text file on which its rows begin."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_GAP = re.compile(r"[\s,]*")


def line_of_row(path: Path, row: int) -> int | None:
    """The line, from 1, on which row ``row``, from 0, begins; None where the file is not of lines, or it is unclear."""
    if path.suffix == ".txt":
        return row + 1
    if path.suffix not in (".json", ".jsonl"):
        return None
    with path.open("rb") as file:
        start = file.read(1 << 16).lstrip()
    if start.startswith(b"["):
        lines = rows_of_list(path.read_text(encoding="utf-8"))[1]
        return lines[row] if row < len(lines) else None
    return _line_of_object(path, row)


def lists_no_objects(path: Path) -> bool:
    """Whether the file is a JSON list of something else, which is read as one column that is called text."""
    if path.suffix not in (".json", ".jsonl"):
        return False
    with path.open("rb") as file:
        start = file.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    return start[:1] == b"[" and start[1:].lstrip()[:1] not in (b"{", b"]", b"")


def rows_of_list(text: str) -> tuple[list[Any], list[int]]:
    """The items of a JSON list, as far as it is one, and the line of each."""
    decoder, line, seen = json.JSONDecoder(), 1, 0
    rows: list[Any] = []
    lines: list[int] = []
    at = text.find("[") + 1
    while at:
        gap = _GAP.match(text, at)
        at = gap.end() if gap else at
        if text[at : at + 1] in ("]", ""):
            break
        line, seen = line + text.count("\n", seen, at), at
        try:
            row, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        rows.append(row)
        lines.append(line)
    return rows, lines


def _line_of_object(path: Path, row: int) -> int | None:
    """Where every line that is not blank is an object, the one of that row."""
    left = row
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text:
                continue
            if not (text.startswith(b"{") and text.endswith(b"}")):
                return None  # an object of several lines
            if left == 0:
                return number
            left -= 1
    return None
