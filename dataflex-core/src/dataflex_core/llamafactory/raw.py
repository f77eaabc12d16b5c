"""The rows of data sets as LLaMA-Factory read them: their columns, their domains, and what became of some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import load_dataset
from numpy.typing import NDArray

from dataflex_core.errors import DataError
from dataflex_core.journal.facts import RowsFact
from dataflex_core.llamafactory.traced import Column, column_of, end_to_end, fact, summed
from dataflex_core.rows import Origins, Row, Source
from dataflex_core.wording import did_you_mean

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Read:
    """A data set that was read: where from, its rows, the number of the first, and how LLaMA-Factory converts one."""

    source: Source
    rows: Any
    first: int
    convert: Callable[[Any], Any]

    def row(self, position: int) -> Row:
        """The row at ``position``, from 0, of this data set."""
        return self.source.row(position)

    def values(self, name: str, positions: Ids) -> Column:
        """A column of the rows at ``positions``. Raises `DataError` where there is none, or one has no value in it."""
        known = self.rows.column_names
        if name not in known:
            file = self.source.files[0]
            others = f", and {len(self.source.files) - 1} files more," if len(self.source.files) > 1 else ""
            raise DataError(
                f"data set {self.source.dataset} has no column {name}: {file}{others} has {', '.join(known)}",
                hint=did_you_mean(name, known),
            )
        values = self.rows.select_columns([name]).with_format("arrow")[positions][name]
        values = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        if values.null_count:
            where = self.row(int(positions[np.flatnonzero(values.is_null().to_numpy())[0]]))
            more = f", and {values.null_count - 1} more have none" if values.null_count > 1 else ""
            raise DataError(
                f"{where} (data set {self.source.dataset}) has no value in the column {name}{more}",
                hint=f"give every row a value of {name}",
            )
        return column_of(values)


@dataclass(slots=True, kw_only=True, eq=False)
class RawRows:
    """All data sets of a run that were read so far; rows count from 0 through them in order, -1 is an unknown one.

    ``domain_column`` names the column whose values are domains; without one they are the data sets.
    """

    domain_column: str | None = None
    read: list[Read] = field(default_factory=list)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where they were read from."""
        return tuple(read.source for read in self.read)

    def add(self, source: Source, rows: Any, convert: Callable[[Any], Any]) -> int:
        """One more is read; the number of its first row."""
        first = sum(read.source.size for read in self.read)
        self.read.append(Read(source=source, rows=rows, first=first, convert=convert))
        return first

    def column(self, origins: Origins, name: str) -> Column:
        """A column's values of samples that are a row each. Raises `DataError` for packed ones, else as `Read.values`.

        Numbers of all data sets become one kind.
        """
        if len(origins.rows) != len(origins):
            raise DataError(
                f"dataflex.columns has no value of {name} for a sample: packing makes one of several rows",
                hint="set packing: false",
            )
        return self._values(origins.rows, name)

    def domains(self, rows: Ids) -> Column:
        """The names of the rows' domains, objects. Raises `DataError` for a value that is no name."""
        names = np.empty(len(rows), dtype=object)
        if self.domain_column is None:
            for read, mine in self._parts(rows):
                names[mine] = read.source.dataset
            return names
        for i, value in enumerate(self._values(rows, self.domain_column).tolist()):
            if not isinstance(value, str | int | date) or value == "":
                where = self._row(int(rows[i]))
                raise DataError(
                    f"{where} (data set {where.dataset}) has {value!r} in the column {self.domain_column}",
                    hint="dataflex.domain_column names a column of text or whole numbers, dates, or true and false",
                )
            names[i] = _named(value)
        return names

    def told(self, rows: Ids, why: Callable[[Read, int], str]) -> dict[str, RowsFact]:
        """How many rows of each domain these are, and of the first what ``why`` says of it, given its position."""
        found: dict[str, RowsFact] = {}
        for read, mine in self._parts(rows):
            own = np.sort(rows[mine])
            names = self.domains(own)
            for name in sorted(set(names)):
                these = own[names == name]
                position = int(these[0]) - read.first
                found = summed([found, {name: fact(len(these), read.row(position), why(read, position))}])
        return found

    def _values(self, rows: Ids, name: str) -> Column:
        if (rows < 0).any():
            raise DataError(
                f"which {name} a sample has is not known of rows that LLaMA-Factory drew from a cloud",
                hint="leave num_samples out of dataset_info.json",
            )
        parts = [(mine, read.values(name, rows[mine] - read.first)) for read, mine in self._parts(rows)]
        if not parts:
            return np.empty(0, dtype=object)
        values = end_to_end([part for _, part in parts], name)
        order = np.concatenate([np.flatnonzero(mine) for mine, _ in parts])
        found = np.empty_like(values)
        found[order] = values
        return found

    def _parts(self, rows: Ids) -> Iterator[tuple[Read, NDArray[np.bool_]]]:
        """The data sets of some rows, each with which of the rows are its own."""
        for read in self.read:
            mine = (rows >= read.first) & (rows < read.first + read.source.size)
            if mine.any():
                yield read, mine

    def _row(self, row: int) -> Row:
        read = next(read for read in self.read if read.first <= row < read.first + read.source.size)
        return read.row(row - read.first)


def _named(value: str | int | date) -> str:
    """A value as the name of a domain, as the file has it: readers make dates of text that looks like one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime) and value == datetime(value.year, value.month, value.day, tzinfo=value.tzinfo):
        value = value.date()
    return str(value)


def rows_of(kind: str, file: str) -> int:
    """The rows of one of several files, which is read once more for it, and not kept."""
    data = load_dataset(kind, data_files=[file], split="train", streaming=True)
    return sum(table.num_rows for table in data.with_format("arrow").iter(batch_size=10_000))
