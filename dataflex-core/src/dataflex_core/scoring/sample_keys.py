"""Keys of samples: digests of their content, whatever data set and place in it they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from dataflex_core.scoring.answer_files import KEY

Ids = NDArray[np.int64]
Keys = NDArray[np.bytes_]

_ROWS = 1000
_MASK = "attention_mask"


def keys_of(dataset: Any, ids: Ids) -> tuple[Keys, NDArray[np.bool_]]:
    """The keys S16[n] of samples ``ids`` Int64[n], and which of them have one, Bool[n].

    A key is of all columns that are not empty, but for a mask of ones: token ids and labels, and what packing adds. A
    sample that is more than numbers, as one with images, has none: files may change under their names.
    """
    keys, known = np.zeros(len(ids), dtype=KEY), np.zeros(len(ids), dtype=np.bool_)
    for start in range(0, len(ids), _ROWS):
        chunk = ids[start : start + _ROWS]
        for place, row in enumerate(_rows(dataset, chunk), start):
            digest = _digest(row)
            if digest is not None:
                keys[place], known[place] = digest, True
    return keys, known


def _rows(dataset: Any, ids: Ids) -> list[Mapping[str, Any]]:
    """The samples, their columns of numbers as arrays where the data set is an Arrow table."""
    if not hasattr(dataset, "with_format"):
        return [dataset[int(i)] for i in ids]
    table = dataset.with_format("arrow")[ids.tolist()].combine_chunks()
    columns = {name: _cells(table[name]) for name in table.column_names}
    return [{name: cells[row] for name, cells in columns.items()} for row in range(len(ids))]


def _cells(column: Any) -> list[Any]:
    import pyarrow as pa

    kind = column.type
    if not ((pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_integer(kind.value_type)):
        return list(column.to_pylist())
    cells: list[Any] = []
    for chunk in column.chunks:
        values, offsets = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        empty = chunk.is_null().to_numpy(zero_copy_only=False)
        cells.extend(None if none else values[a:b] for a, b, none in zip(offsets[:-1], offsets[1:], empty, strict=True))
    return cells


def _digest(row: Mapping[str, Any]) -> bytes | None:
    digest = xxhash.xxh3_128()
    for name in sorted(row):
        cell = row[name]
        if cell is None or (hasattr(cell, "__len__") and len(cell) == 0):
            continue
        try:
            array = np.asarray(cell)
        except ValueError:
            return None
        if array.dtype.kind not in "biu":
            return None
        if name == _MASK and (array == 1).all():
            continue
        numbers = array.astype("<i8")
        digest.update(f"{name}{numbers.shape}".encode())
        digest.update(numbers.tobytes())
    return digest.digest()
