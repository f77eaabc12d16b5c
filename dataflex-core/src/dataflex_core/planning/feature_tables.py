"""Tables of features, a row a sample: in a file that is read as it is asked for, or in memory. numpy only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float16]
_BLOCK = 16384


def write_table(path: Path, size: int, width: int, fill: Callable[[Table], None]) -> None:
    """Write a table Float16[size, width], zeros that ``fill`` fills, to ``path``, ``.npy``: whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        table: Table = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=(size, width))
        fill(table)
        table.flush()  # type: ignore[attr-defined]  # a memory map has it
        del table
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_table(path: Path) -> Table:
    """What `write_table` wrote, memory-mapped."""
    table: Table = np.lib.format.open_memmap(path, mode="r")
    return table


def standardise(table: Table) -> None:
    """Bring the columns of a table to mean 0 and deviation 1, and then its rows to length one, in place.

    Hidden states share a direction that says nothing of the sample, and a few of their numbers outweigh all others.
    """
    sums, squares = np.zeros(table.shape[1]), np.zeros(table.shape[1])
    for part in _parts(table):
        sums += part.sum(axis=0)
    mean = sums / max(len(table), 1)
    for part in _parts(table):
        squares += ((part - mean) ** 2).sum(axis=0)
    spread = np.sqrt(squares / max(len(table), 1))
    spread[spread == 0] = 1
    for start, part in zip(range(0, len(table), _BLOCK), _parts(table), strict=True):
        rows = (part - mean) / spread
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        table[start : start + _BLOCK] = rows / np.where(lengths > 0, lengths, 1)


def side_by_side(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Rows of length one, Float[n, d] of each kind, as such rows, Float32[n, sum of d]; of one kind as they are."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([part.shape[1] for part in parts])
    rows = np.empty((len(parts[0]), ends[-1]), dtype=np.float32)
    for part, end in zip(parts, ends, strict=True):
        np.multiply(part, np.float32(len(parts) ** -0.5), out=rows[:, end - part.shape[1] : end])
    return rows


def _parts(table: Table) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(table), _BLOCK):
        yield table[start : start + _BLOCK].astype(np.float64)
