"""Samples of target sets that stand in the pool, too: found in the whole pool, by what their tokens spell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.scoring.sample_keys import keys_of

Ids = NDArray[np.int64]
Sums = NDArray[np.uint64]

_ROWS = 10_000
_READ = 20_000


def squeezed(text: str) -> str:
    """A text without its spaces, and without case."""
    return "".join(text.casefold().split())


def samples_in(pool: Any, targets: Iterable[Any], decode: Callable[[Sequence[int]], str]) -> Ids:
    """Samples of the pool, Int64[n], that are the same as one of ``targets`` but for case and spaces.

    ``decode`` makes text of token ids. Of every sample the characters are added up, whatever their order, which takes
    two passes over the token ids; those of the sum of a target are read, 20,000 of them at most. Samples with images or
    sound are left out, as they may be of others.
    """
    sets = list(targets)
    if not sets:
        return np.zeros(0, dtype=np.int64)
    values = _values(_used([pool, *sets]), decode)
    wanted = {squeezed(decode(tokens)) for data in sets for tokens in _samples(data, np.arange(len(data)))}
    known = np.concatenate([_sums(data, values) for data in sets])
    alike = np.flatnonzero(np.isin(_sums(pool, values), known))[:_READ]
    alike = alike[keys_of(pool, alike)[1]]
    same = [squeezed(decode(tokens)) in wanted for tokens in _samples(pool, alike)]
    return alike[np.array(same, dtype=np.bool_)]


def _used(datasets: Iterable[Any]) -> Ids:
    """The token ids that occur, ascending."""
    seen = np.zeros(1, dtype=np.bool_)
    for dataset in datasets:
        for tokens, _ in _chunks(dataset):
            seen = np.pad(seen, (0, max(0, int(tokens.max(initial=0)) + 1 - len(seen))))
            seen[tokens[tokens >= 0]] = True
    return np.flatnonzero(seen)


def _values(tokens: Ids, decode: Callable[[Sequence[int]], str]) -> Sums:
    """A number for each token, UInt64[V]: the sum, modulo 2^64, of those of its characters; 0 of other ids."""
    values = np.zeros(int(tokens.max(initial=0)) + 1, dtype=np.uint64)
    for token in tokens.tolist():
        values[token] = sum(map(_number, squeezed(decode([token])))) & 0xFFFFFFFFFFFFFFFF
    return values


@cache
def _number(character: str) -> int:
    return int.from_bytes(blake2b(character.encode("utf-8", "replace"), digest_size=8).digest())


def _sums(dataset: Any, values: Sums) -> Sums:
    """The sum of the values of each sample's tokens, UInt64[N]; ids of placeholders, below 0, count nothing."""
    found = [np.zeros(0, dtype=np.uint64)]
    for tokens, sizes in _chunks(dataset):
        each = np.where(tokens < 0, np.uint64(0), values[np.maximum(tokens, 0)])
        total = np.concatenate([[np.uint64(0)], np.cumsum(each, dtype=np.uint64)])
        ends = np.cumsum(sizes)
        found.append(total[ends] - total[ends - sizes])
    return np.concatenate(found)


def _chunks(dataset: Any) -> Iterator[tuple[Ids, Ids]]:
    """The token ids of some samples, one after the other, and how many each has; column-wise of an Arrow table."""
    if not hasattr(dataset, "with_format"):
        rows = [np.asarray(dataset[i]["input_ids"], dtype=np.int64) for i in range(len(dataset))]
        if rows:
            yield np.concatenate(rows), np.array([len(row) for row in rows], dtype=np.int64)
        return
    import pyarrow.compute as pc

    view = dataset.select_columns(["input_ids"]).with_format("arrow")
    for table in view.iter(batch_size=_ROWS):
        column = table["input_ids"].combine_chunks()
        tokens = pc.list_flatten(column).to_numpy(zero_copy_only=False)
        yield tokens.astype(np.int64), pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)


def _samples(dataset: Any, ids: Ids) -> Iterator[list[int]]:
    for sample in ids.tolist():
        yield list(dataset[sample]["input_ids"])
