"""What is known of the samples of a data set that LLaMA-Factory has tokenised: rows, columns, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataflex_core.errors import DataError
from dataflex_core.journal.facts import RowsFact
from dataflex_core.rows import Origins, Row, joined

Column = NDArray[Any]
"""Values of samples, by their ids: Int64, Float64 or Bool, and objects for what is neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a configuration wants to know of rows: the values of ``columns``, and domains by ``domain_column``."""

    columns: tuple[str, ...] = ()
    domain_column: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that it asks of."""
        return (*self.columns, *(() if self.domain_column is None else (self.domain_column,)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traced:
    """N samples: their ``origins``, the values of the ``columns`` that were asked for, and the domain of each.

    ``domains`` are objects, text, or None where domains are the data sets. ``dropped`` and ``cut`` tell by domain what
    of the rows is missing in the samples.
    """

    origins: Origins
    columns: Mapping[str, Column] = field(default_factory=dict)
    domains: Column | None = None
    dropped: Mapping[str, RowsFact] = field(default_factory=dict)
    cut: Mapping[str, RowsFact] = field(default_factory=dict)

    def select(self, samples: NDArray[np.int64]) -> Traced:
        """Some of the samples, in their order; what is missing stays told."""
        return Traced(
            origins=self.origins.select(samples),
            columns={name: values[samples] for name, values in self.columns.items()},
            domains=None if self.domains is None else self.domains[samples],
            dropped=self.dropped,
            cut=self.cut,
        )


def together(parts: Sequence[Traced | None]) -> Traced | None:
    """The samples of several data sets, one after the other; None where nobody knows those of one."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    domains = [part.domains for part in known if part.domains is not None]
    return Traced(
        origins=joined([part.origins for part in known]),
        columns={name: end_to_end([part.columns[name] for part in known], name) for name in known[0].columns},
        domains=np.concatenate(domains) if domains else None,
        dropped=summed([part.dropped for part in known]),
        cut=summed([part.cut for part in known]),
    )


def summed(facts: Sequence[Mapping[str, RowsFact]], name: str | None = None) -> dict[str, RowsFact]:
    """Facts of several data sets by domain; all under ``name``, where there is one. The first to come is the first."""
    found: dict[str, RowsFact] = {}
    for domain, fact in [item for one in facts for item in one.items()]:
        key = domain if name is None else name
        before = found.get(key)
        found[key] = fact if before is None else _counted(before, before.count + fact.count)
    return found


def fact(count: int, first: Row, reason: str) -> RowsFact:
    """``count`` rows, of which ``first`` is the first, and what became of it."""
    return RowsFact(count=count, dataset=first.dataset, file=first.file, row=first.row, reason=reason)


def column_of(table: pa.ChunkedArray) -> Column:
    """Arrow's values as a `Column`; there is none that is null."""
    kind = table.type
    if pa.types.is_integer(kind):
        return np.asarray(table.to_numpy(), dtype=np.int64)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return np.asarray(table.to_pylist() if pa.types.is_decimal(kind) else table.to_numpy(), dtype=np.float64)
    if pa.types.is_boolean(kind):
        return np.asarray(table.to_numpy(), dtype=np.bool_)
    values = np.empty(len(table), dtype=object)
    values[:] = table.to_pylist()
    return values


def end_to_end(parts: Sequence[Column], name: str) -> Column:
    """The column ``name`` of several data sets as one; whole numbers beside others become such.

    Raises `DataError` for numbers beside text.
    """
    kinds = {part.dtype.kind for part in parts if len(part)}
    if len(kinds) > 1 and not kinds <= {"i", "f"}:
        raise DataError(
            f"the column {name} has values of one kind in one data set, and of another in the next",
            hint="give it numbers in all of them, or text",
        )
    return np.concatenate([part for part in parts if len(part)] or list(parts))


def _counted(told: RowsFact, count: int) -> RowsFact:
    return RowsFact(count=count, dataset=told.dataset, file=told.file, row=told.row, reason=told.reason)
