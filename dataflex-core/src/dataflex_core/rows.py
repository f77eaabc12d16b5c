"""Rows: where in the user's files samples come from. numpy is imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the user's data: number ``row``, the first is 1, of ``file``, of the data set ``dataset``.

    Rows are what a file holds one after the other: the lines of JSON Lines that are not blank, the elements of a JSON
    array, the records of a table, without its header. ``file`` is a path, or the name by which a data set that lies
    elsewhere is loaded.
    """

    dataset: str
    file: str
    row: int

    def __str__(self) -> str:
        return f"row {self.row} of {self.file}"


@dataclass(slots=True, kw_only=True, eq=False)
class Source:
    """``size`` rows of a data set, as it was read: those of its files, one file after the other.

    ``count`` gives the rows of a file. It is asked only where there are several, and only once somebody wants to know
    in which of them a row is. ``places`` Int64[size] says where in all files the rows lie, None where they are all.
    """

    dataset: str
    files: tuple[str, ...]
    size: int
    count: Callable[[str], int]
    places: Ids | None = None
    counts: tuple[int, ...] | None = None
    """The rows of each file but the last, once they were counted."""

    def row(self, position: int) -> Row:
        """The row at ``position``, from 0."""
        place = position if self.places is None else int(self.places[position])
        for file, rows in zip(self.files, self.counted(), strict=False):
            if place < rows:
                return Row(dataset=self.dataset, file=file, row=place + 1)
            place -= rows
        return Row(dataset=self.dataset, file=self.files[-1], row=place + 1)

    def counted(self) -> tuple[int, ...]:
        """`counts`, which are taken now if they were not."""
        if self.counts is None:
            self.counts = tuple(self.count(file) for file in self.files[:-1])
        return self.counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origins:
    """The rows of samples. Sample i has ``rows[starts[i] : starts[i + 1]]``, several where samples are packed.

    ``starts`` Int64[N + 1]; ``rows`` Int64[M] count from 0 through all ``sources`` in their order, -1 is a row that
    nobody knows.
    """

    sources: tuple[Source, ...]
    starts: Ids
    rows: Ids
    _first: Ids = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        sizes = np.array([source.size for source in self.sources], dtype=np.int64)
        object.__setattr__(self, "_first", np.cumsum(sizes) - sizes)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, sample: int) -> tuple[Row, ...] | None:
        """The rows of a sample, None where nobody knows them."""
        found = [self.row(int(row)) for row in self.rows[self.starts[sample] : self.starts[sample + 1]] if row >= 0]
        return tuple(found) or None

    def row(self, row: int) -> Row:
        """One of `rows`, which is known."""
        import numpy as np

        which = int(np.searchsorted(self._first, row, side="right")) - 1
        return self.sources[which].row(row - int(self._first[which]))

    def count(self, start: int, stop: int) -> int:
        """How many rows the samples from ``start`` to before ``stop`` are made of; one that is in several counts once.

        Rows that nobody knows count each time.
        """
        import numpy as np

        rows = self.rows[self.starts[start] : self.starts[stop]]
        known = rows[rows >= 0]
        return len(np.unique(known)) + len(rows) - len(known)

    def located(self) -> tuple[list[tuple[str, str]], Ids, Ids]:
        """Where all `rows` lie: data sets and files, which of them each row is of, Int64[M], and its number there.

        Those of a row that nobody knows are -1 and 0.
        """
        import numpy as np

        names: list[tuple[str, str]] = []
        which, number = np.full(len(self.rows), -1, dtype=np.int64), np.zeros(len(self.rows), dtype=np.int64)
        for source, first in zip(self.sources, self._first.tolist(), strict=True):
            mine = (self.rows >= first) & (self.rows < first + source.size)
            place = self.rows[mine] - first
            place = place if source.places is None else source.places[place]
            ends = np.cumsum(source.counted(), dtype=np.int64)
            file = np.searchsorted(ends, place, side="right")
            which[mine], number[mine] = len(names) + file, place - np.concatenate([[0], ends])[file] + 1
            names.extend((source.dataset, name) for name in source.files)
        return names, which, number

    def select(self, samples: Ids) -> Origins:
        """Those of some samples, in their order."""
        import numpy as np

        counts = np.diff(self.starts)[samples]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        rows = self.rows[np.repeat(self.starts[samples], counts) + within]
        return Origins(sources=self.sources, starts=starts, rows=rows)


def joined(parts: Sequence[Origins]) -> Origins:
    """The samples of several data sets, one after the other."""
    import numpy as np

    rows, starts, sources = [], [np.zeros(1, dtype=np.int64)], 0
    for part in parts:
        rows.append(np.where(part.rows < 0, -1, part.rows + sources))
        starts.append(part.starts[1:] + starts[-1][-1])
        sources += sum(source.size for source in part.sources)
    return Origins(
        sources=tuple(source for part in parts for source in part.sources),
        starts=np.concatenate(starts).astype(np.int64),
        rows=np.concatenate([np.zeros(0), *rows]).astype(np.int64),
    )
