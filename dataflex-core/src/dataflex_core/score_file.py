"""A file of scores: a Parquet table of what each row of the data is worth, and how that was worked out.

A line is a sample and a row that it was made of: one line a sample, several only where samples are packed. Its columns:

- ``id`` Int64, the sample's place in the pool
- ``score`` Float32, and ``score_NAME`` where a sample has a score for each of several things, such as the subtasks of a
  target set, of which ``score`` then is the largest; NaN where a sample has none
- ``domain``, ``dataset`` and ``file``, text, and ``row`` Int64, the first is 1; the last three empty where nobody knows
- ``digest``, 32 hexadecimal digits, of the sample's tokens and labels; empty where it is more than these

numpy and pyarrow are imported when they are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from dataflex_core.errors import DataError
from dataflex_core.others_files import json_of
from dataflex_core.places import whole
from dataflex_core.rows import Row
from dataflex_core.typed import typed
from dataflex_core.wording import did_you_mean, first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]

SCHEMA = 1
SCORE, PREFIX = "score", "score_"
PLACE = tuple(part.name for part in fields(Row))
"""The columns of a row's place: data set, file, number."""
_ABOUT = b"dataflex"
_TEXT, _NUMBERS = "text", "numbers"
_HOLDS = {"id": _NUMBERS, **dict(zip(PLACE, (_TEXT, _TEXT, _NUMBERS), strict=True))}
"""What columns hold by which rows are found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFact:
    """A checkpoint that judged: its folder, the step that it was taken after, and its weight, of sum one."""

    path: str
    step: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """How scores came to be.

    ``judge`` is a selector with its distribution and version, or a signal, ``params`` its parameters. ``checkpoints``
    are those whose scores were averaged; none: the model that the configuration names judged. ``targets`` names the
    subtasks of the target set, ``dataset_dir`` is the folder of the data, absolute, ``version`` DataFlex's.
    """

    judge: str
    params: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: tuple[CheckpointFact, ...] = ()
    targets: tuple[str, ...] = ()
    dataset_dir: str = ""
    version: str = ""
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """Some samples of a file: ``ids`` Int64[n], ``scores`` Float32[n] by column, and for each a domain, rows, a digest.

    ``rows`` has no row for a sample of which nobody knows them.
    """

    ids: NDArray[np.int64]
    scores: Mapping[str, Scores]
    domains: Sequence[str]
    rows: Sequence[tuple[Row, ...]]
    digests: Sequence[str | None]


def write_scores(path: Path, about: About, parts: Iterable[Lines]) -> None:
    """Write a file of scores, whole or not at all, a part at a time. There is at least one part.

    Raises OSError where it cannot be written.
    """
    write_tables(path, about, map(_table, parts))


def write_tables(path: Path, about: About, tables: Iterable[Any]) -> None:
    """The same, of pyarrow tables with the columns of such a file. There is at least one."""
    import pyarrow.parquet as pq

    writer = None
    with whole(path) as temporary:
        for table in tables:
            table = table.replace_schema_metadata({_ABOUT: json.dumps(asdict(about))})
            writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table)
        assert writer is not None, "a pool has samples"
        writer.close()


def _table(part: Lines) -> Any:
    import numpy as np
    import pyarrow as pa

    counts = np.array([max(1, len(rows)) for rows in part.rows], dtype=np.int64)
    of = np.repeat(np.arange(len(part.ids)), counts)
    rows = [row for rows in part.rows for row in (rows or (None,))]
    domains, digests = pa.array(part.domains, pa.string()), pa.array(part.digests, pa.string())
    columns = {
        "id": pa.array(part.ids[of]),
        **{name: pa.array(values[of].astype(np.float32)) for name, values in part.scores.items()},
        "domain": domains.take(pa.array(of)),
        **{
            name: pa.array([None if row is None else getattr(row, name) for row in rows], kind)
            for name, kind in zip(PLACE, (pa.string(), pa.string(), pa.int64()), strict=True)
        },
        "digest": digests.take(pa.array(of)),
    }
    return pa.table(columns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreFile:
    """A file of scores that is open: ``about`` is None for a table that somebody else has made."""

    path: Path
    about: About | None
    _file: Any

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return int(self._file.metadata.num_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._file.schema_arrow.names)

    def read(self, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Some columns whole, as arrays: text as objects, None where there is none.

        Raises `DataError` for one that is not there, and for a file that is damaged.
        """
        table = self._table(columns)
        return {name: table[name].to_numpy() for name in columns}

    def batches(self, columns: Sequence[str], size: int = 1 << 16) -> Iterator[dict[str, list[Any]]]:
        """The same, some lines at a time, as lists."""
        self._check(columns)
        with _whole(self.path):
            for batch in self._file.iter_batches(batch_size=size, columns=list(columns)):
                yield {name: batch.column(name).to_pylist() for name in columns}

    def places(self) -> tuple[list[tuple[str, str]], NDArray[np.int64], NDArray[np.int64]]:
        """Data sets and names of files, which of them each line is of, Int64[n], and its row, Int64[n].

        A line whose row nobody knows is of a data set without a name, and of row 0. Raises as `read` does.
        """
        import numpy as np

        table = self._table(PLACE).combine_chunks()
        datasets, files = (table[name].fill_null("").combine_chunks().dictionary_encode() for name in PLACE[:2])
        names = [PurePath(name).name for name in files.dictionary.to_pylist()]
        codes = datasets.indices.to_numpy().astype(np.int64) * len(names) + files.indices.to_numpy()
        held, of_name = np.unique(codes, return_inverse=True)
        pairs = [(str(datasets.dictionary[int(code) // len(names)]), names[int(code) % len(names)]) for code in held]
        rows = table["row"].fill_null(0).to_numpy()
        return pairs, of_name.astype(np.int64), np.asarray(rows, dtype=np.int64)

    def _table(self, columns: Sequence[str]) -> Any:
        self._check(columns)
        with _whole(self.path):
            return self._file.read(columns=list(columns))

    def _check(self, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in self.columns:
                raise DataError(f"{self.path} has no column {name}", hint=did_you_mean(name, self.columns))
            kind = self._file.schema_arrow.field(name).type
            if name in _HOLDS and not _holds(kind, _HOLDS[name]):
                hint = f"make it one of {_HOLDS[name]}, or take another file"
                raise DataError(f"the column {name} of {self.path} holds {kind}, not {_HOLDS[name]}", hint=hint)


def _holds(kind: Any, wanted: str) -> bool:
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    if wanted == _TEXT:
        return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind))  # pandas has no null integer


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Raise `DataError` for what a damaged file raises: its end can be read, which says what it holds, and not all."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        hint = "have it written anew, or copy it again"
        raise DataError(f"{path} is damaged: {first_line(error)}", hint=hint) from error


def open_scores(path: Path) -> ScoreFile:
    """Open a file of scores. Raises `DataError` for what is no Parquet file, and for a later schema.

    What it says of how scores came to be may have keys that are not known here: they are passed over.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True)
        written = json_of((file.schema_arrow.metadata or {}).get(_ABOUT, b"null"))
    except (OSError, pa.ArrowException, ValueError) as error:
        hint = "name a file that dataflex score has written, or a Parquet table"
        said = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {first_line(error)}"
        raise DataError(f"{path} {said}", hint=hint) from error
    if written is None:
        return ScoreFile(path=path, about=None, _file=file)
    schema = written.get("schema") if isinstance(written, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise DataError(
            f"{path} was written in schema {schema}, this version reads up to {SCHEMA}",
            hint="read it with the version that wrote it",
        )
    return ScoreFile(path=path, about=typed(About, written, f"{path}: metadata", of="file of scores"), _file=file)


class RowScores:
    """What a table says of rows of the data, for strategies to look up.

    A row is known by its data set, the name of its file, whatever folder that is in, and its number.
    """

    def __init__(self, path: str | Path, column: str = SCORE) -> None:
        """Read it. Raises `DataError` for what is no such table, and for values that are no numbers."""
        import numpy as np

        file = open_scores(Path(path))
        values = file.read([column])[column]
        if values.dtype.kind not in "fiub":
            raise DataError(f"the column {column} of {path} holds no numbers", hint="name another column")
        self.dtype: np.dtype[np.floating] = np.dtype(np.float32 if values.dtype == np.float32 else np.float64)
        names, of_name, rows = file.places()
        order = np.lexsort((rows, of_name))
        bounds = np.searchsorted(of_name[order], np.arange(len(names) + 1))
        self._known = {
            name: (rows[part], values[part].astype(self.dtype))
            for name, part in zip(names, np.split(order, bounds[1:-1]), strict=True)
        }

    def of(self, samples: Sequence[tuple[Row, ...]]) -> NDArray[np.floating]:
        """Float[n], the mean over the rows that a sample is made of; NaN where the table knows none of them.

        Float32 where the column holds that, as `dataflex score` writes it, Float64 of all other numbers: ``dtype``.
        """
        import numpy as np

        asked: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
        for place, made_of in enumerate(samples):
            for row in made_of:
                places, numbers = asked.setdefault((row.dataset, PurePath(row.file).name), ([], []))
                places.append(place)
                numbers.append(row.row)
        sums, counts = np.zeros(len(samples)), np.zeros(len(samples))
        for name, (places, numbers) in asked.items():
            if name in self._known:
                rows, values = self._known[name]
                found = np.searchsorted(rows, numbers).clip(max=len(rows) - 1)
                known = rows[found] == numbers
                np.add.at(sums, np.array(places)[known], values[found[known]])
                np.add.at(counts, np.array(places)[known], 1)
        means = np.divide(sums, counts, out=np.full(len(samples), np.nan), where=counts > 0)
        exact: NDArray[np.floating] = means.astype(self.dtype)
        return exact
