"""Batches for a pass over samples: sorted by length, packed to a token budget, dealt to the ranks. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MULTIPLE = 8  # LLaMA-Factory's collator pads to it in training
_IGNORED = -100  # the label of a token that is no target


def lengths_of(dataset: Any) -> NDArray[np.int64]:
    """Number of tokens of each sample, Int64[N]; read column-wise where the data set is an Arrow table."""
    if hasattr(dataset, "with_format") and "input_ids" in getattr(dataset, "column_names", ()):
        import pyarrow as pa
        import pyarrow.compute as pc

        view = dataset.select_columns(["input_ids"]).with_format("arrow")
        chunks = [pc.list_value_length(table["input_ids"]) for table in view.iter(batch_size=10_000)]
        combined = pa.chunked_array([array for chunk in chunks for array in chunk.chunks])
        return np.asarray(combined.to_numpy(), dtype=np.int64)
    return np.fromiter((len(dataset[i]["input_ids"]) for i in range(len(dataset))), dtype=np.int64, count=len(dataset))


def target_tokens_of(dataset: Any) -> NDArray[np.int64]:
    """Number of target tokens of each sample, Int64[N], of which the first token is never one; read column-wise, too.

    Where samples have no labels, as in pretraining, all other tokens are targets.
    """
    names = getattr(dataset, "column_names", ())
    if not len(dataset) or "labels" not in (names or dataset[0]):
        return np.maximum(lengths_of(dataset) - 1, 0)
    if not (names and hasattr(dataset, "with_format")):
        rows = (np.asarray(dataset[i]["labels"][1:]) for i in range(len(dataset)))
        return np.fromiter((np.count_nonzero(row != _IGNORED) for row in rows), dtype=np.int64, count=len(dataset))
    view = dataset.select_columns(["labels"]).with_format("arrow")
    chunks = (chunk for table in view.iter(batch_size=10_000) for chunk in table["labels"].chunks)
    return np.concatenate([_targets_in(chunk) for chunk in chunks])


def _targets_in(labels: Any) -> NDArray[np.int64]:
    """Of an arrow array of lists, whose values and offsets need no copy."""
    offsets = labels.offsets.to_numpy()
    wanted = np.concatenate([labels.values.to_numpy() != _IGNORED, [False]])
    before = np.concatenate([[0], np.cumsum(wanted)])
    first = wanted[offsets[:-1]] & (np.diff(offsets) > 0)
    found: NDArray[np.int64] = before[offsets[1:]] - before[offsets[:-1]] - first
    return found


def pack(ids: NDArray[np.int64], lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Split ``ids`` into batches, longest first, of at most ``budget`` tokens counting padding; at least one each.

    ``lengths`` Int64[n] belong to ``ids``. Deterministic: equal lengths keep the order of ``ids``.
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < order.size:
        longest = -(-int(lengths[order[start]]) // _MULTIPLE) * _MULTIPLE
        size = max(1, budget // max(longest, 1))
        batches.append(ids[order[start : start + size]])
        start += size
    return batches


def deal(batches: list[NDArray[np.int64]], rank: int, world: int) -> list[NDArray[np.int64]]:
    """The batches of one rank: whole ones, so that what a batch holds does not depend on how many ranks there are."""
    return batches[rank::world]


def without(batches: list[NDArray[np.int64]], done: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The batches less the samples that are ``done``; none is made up of several, so that ranks need not agree."""
    if not batches:
        return []
    flat = np.concatenate(batches)
    left = np.split(~np.isin(flat, done), np.cumsum([batch.size for batch in batches])[:-1])
    return [batch[kept] for batch, kept in zip(batches, left, strict=True) if kept.any()]
