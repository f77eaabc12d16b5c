"""What can be wrong with a data set, as values and as words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any

from dataflex_core.wording import first_line

DATE = "read as a date, which it looks like"
"""What is said of a text that a reader made a date of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A thing that is wrong: ``said`` of it, ``hint`` what to do, ``row`` and ``line`` from 1, where they are known.

    ``ends`` is whether it ends the run; else LLaMA-Factory leaves the row out. Those of one ``kind`` are counted
    together, and only the first is told.
    """

    kind: str
    said: str
    hint: str
    ends: bool = True
    file: str | None = None
    row: int | None = None
    line: int | None = None


class Unreadable(Exception):
    """A file that cannot be read to its end, with the rows that can, and their lines."""

    def __init__(self, *wrong: Wrong, rows: Sequence[Any] = (), lines: Sequence[int] = ()) -> None:
        super().__init__("; ".join(one.said for one in wrong))
        self.wrong, self.rows, self.lines = wrong, rows, lines


def words_of(error: BaseException) -> str:
    """What a library says, in one line; without the row, which it counts from where it began to read."""
    return re.sub(r" in row \d+$", "", first_line(error))


def like_it(more: int) -> str:
    """What follows the first of several rows: how many more there are."""
    return f"; and {more:,} more row{'' if more == 1 else 's'} like it" if more else ""


def kind_of(value: Any) -> str:
    """What a value of a file is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case date() | time() | timedelta():
            return DATE
    return f"a {type(value).__name__}"
