"""LLaMA-Factory's loader, watched for the time of one call: which rows of which files its samples are made of.

A column with the number of each row is added as a data set is read, and goes through whatever selects, mixes and splits
rows. The steps that make something new of rows drop every column that they do not know: the first, one row to one, is
given the data without it, and the second, the processor, is `RowsKept`. What is handed out, or saved, has the columns
that LLaMA-Factory gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray

from dataflex_core.journal.facts import RowsFact
from dataflex_core.llamafactory.datasets.read import places_in_split
from dataflex_core.llamafactory.processors import CUT, GROUP, ROW, ROWS, TRACERS, RowsKept
from dataflex_core.llamafactory.raw import RawRows, Read, rows_of
from dataflex_core.llamafactory.reasons import reason
from dataflex_core.llamafactory.swapped import swapped
from dataflex_core.llamafactory.traced import Traced, Wanted
from dataflex_core.rows import Origins, Source

Ids = NDArray[np.int64]


@contextmanager
def tracing(wanted: Wanted, *, shows: bool = True) -> Iterator[Tracing]:
    """While the block runs, LLaMA-Factory's ``get_dataset`` is watched; nothing that it gives is any different.

    ``shows`` is whether it prints a sample of each data set, with its token ids.
    """
    from llamafactory.data import loader

    watch = Tracing(wanted=wanted, raw=RawRows(domain_column=wanted.domain_column), shows=shows)
    steps = {
        "load_dataset": watch.load_dataset,
        "_get_merged_dataset": watch.merged,
        "align_dataset": watch.align,
        "_get_dataset_processor": watch.processor,
        "_get_preprocessed_dataset": watch.preprocessed,
    }
    with swapped(loader, **steps) as watch.stock:
        yield watch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """A tokenised data set: the rows that went in Int64[n], and what the processor said of its samples.

    ``starts`` and ``rows`` are as in `Origins`, ``cut`` the rows that were cut.
    """

    given: Ids
    starts: Ids
    rows: Ids
    cut: Ids
    processor: Any


@dataclass(slots=True, kw_only=True, eq=False)
class Tracing:
    """Stands in for steps of the loader, and remembers what they saw."""

    wanted: Wanted
    raw: RawRows
    shows: bool = True
    stock: dict[str, Callable[..., Any]] = field(default_factory=dict)
    train: list[Made] = field(default_factory=list)
    """The training set, where one was tokenised whose rows are known."""
    held: list[Made] = field(default_factory=list)
    """Likewise the evaluation sets, in their order."""
    _names: Iterator[str] = field(default_factory=lambda: iter(()))
    _rows: Any = None
    _files: tuple[str, ...] = ()
    _kind: str = ""
    _places: Ids | None = None
    _processor: Any = None
    _given: Any = None

    def merged(self, names: Sequence[str] | None, *args: Any, **kwargs: Any) -> Any:
        """The data sets of ``dataset`` or ``eval_dataset`` are read, in this order."""
        self._names = iter(names or ())
        return self.stock["_get_merged_dataset"](names, *args, **kwargs)

    def load_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """One is read: its rows are numbered before any is left out."""
        rows = self.stock["load_dataset"](*args, **kwargs)
        if not isinstance(rows, Dataset):
            return rows
        self._rows, self._files, self._kind = rows, tuple(kwargs.get("data_files") or ()), str(kwargs.get("path"))
        self._places = _places(rows, str(kwargs.get("split")))
        # The rows are the same: what runs of LLaMA-Factory have cached of them holds, and the other way round.
        return rows.add_column(ROW, np.arange(len(rows)), new_fingerprint=rows._fingerprint)

    def align(self, dataset: Any, attributes: Any, data_args: Any, *args: Any, **kwargs: Any) -> Any:
        """Its rows, or those of them that were chosen, are converted: each into one."""
        align = self.stock["align_dataset"]
        if not isinstance(dataset, Dataset):
            return align(dataset, attributes, data_args, *args, **kwargs)
        known = ROW in dataset.column_names
        if known:
            positions = _numbers(dataset, ROW)
            dataset = dataset.remove_columns(ROW, new_fingerprint=dataset._fingerprint)
        else:  # of a cloud: in its order, unless some were drawn
            self._rows, self._files, self._places, known = dataset, (), None, attributes.num_samples is None
            positions = np.arange(len(dataset))
        first = self._note(attributes, data_args)
        aligned = align(dataset, attributes, data_args, *args, **kwargs)
        rows = positions + first if known else np.full(len(positions), -1)
        if data_args.packing and self.wanted.domain_column is not None:
            aligned = aligned.add_column(GROUP, self.raw.domains(rows).tolist())
        return aligned.add_column(ROW, rows)

    def processor(self, *args: Any, **kwargs: Any) -> Any:
        """What tokenises: it tells which rows its samples are of, where that is known of its kind."""
        self._processor = self.stock["_get_dataset_processor"](*args, **kwargs)
        return RowsKept(self._processor) if type(self._processor).__name__ in TRACERS else self._processor

    def preprocessed(self, dataset: Any, *args: Any, is_eval: bool = False, **kwargs: Any) -> Any:
        """A data set is tokenised; what was told of its samples is taken out again."""
        self._given = dataset
        with nullcontext() if self.shows else redirect_stdout(StringIO()):
            made = self.stock["_get_preprocessed_dataset"](dataset, *args, is_eval=is_eval, **kwargs)
        if not isinstance(made, Dataset) or ROWS not in made.column_names:
            return made
        starts, rows = _lists(made, ROWS)
        _, cut = _lists(made, CUT)
        given = _numbers(dataset, ROW)
        told = Made(given=given, starts=starts, rows=rows, cut=rows[cut == 1], processor=self._processor)
        (self.held if is_eval else self.train).append(told)
        return made.remove_columns([ROWS, CUT])

    def traced(self, made: Made, columns: Sequence[str] = ()) -> Traced:
        """What is known of a tokenised data set. Raises `DataError` where it has not what is wanted of it."""
        origins = Origins(sources=self.raw.sources, starts=made.starts, rows=made.rows)
        dropped = made.given[~np.isin(made.given, made.rows)]
        limit = made.processor.data_args.cutoff_len
        by_column = self.wanted.domain_column is not None
        return Traced(
            origins=origins,
            columns={name: self.raw.column(origins, name) for name in columns},
            # Rows that are packed together are of one domain.
            domains=self.raw.domains(origins.rows[origins.starts[:-1]]) if by_column else None,
            dropped=self.raw.told(dropped, partial(_why, made.processor)),
            cut=self.raw.told(made.cut, lambda read, position: f"longer than {limit} tokens"),
        )

    def left_out(self) -> dict[str, RowsFact]:
        """What is told of the rows that were given last, none of which became a sample."""
        if not isinstance(self._given, Dataset) or ROW not in self._given.column_names:
            return {}
        return self.raw.told(_numbers(self._given, ROW), partial(_why, self._processor))

    def _note(self, attributes: Any, data_args: Any) -> int:
        from llamafactory.data.converter import get_dataset_converter

        source = Source(
            dataset=next(self._names),
            files=self._files or (str(attributes.dataset_name),),
            size=len(self._rows),
            count=partial(rows_of, self._kind),
            places=self._places,
        )
        return self.raw.add(source, self._rows, get_dataset_converter(attributes.formatting, attributes, data_args))


def _why(processor: Any, read: Read, position: int) -> str:
    return reason(read.convert, processor, read.rows[position])


def _places(rows: Dataset, split: str) -> Ids | None:
    """Where in the files the rows lie, from 0, if ``split`` asked for a part of them, as in ``train[:100]``."""
    if rows.info.splits is None:
        return None
    parts = places_in_split(split, {name: info.num_examples for name, info in rows.info.splits.items()})
    return np.concatenate([np.arange(part.start, part.stop) for part in parts]) if parts else None


def _numbers(data: Dataset, name: str) -> Ids:
    return np.asarray(data.select_columns([name]).with_format("arrow")[:][name].to_numpy(), dtype=np.int64)


def _lists(data: Dataset, name: str) -> tuple[Ids, Ids]:
    """A column of lists: where each begins and ends, Int64[N + 1], and the values of all."""
    lists = data.select_columns([name]).with_format("arrow")[:][name]
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.asarray(values, dtype=np.int64)
