"""Results of samples, batch by batch: joined, picked out, and put in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Results of samples ``ids`` Int64[n], in their order.

    ``values`` hold one row per sample, or, where ``lengths`` Int64[n, C] are given, C runs of rows per sample.
    """

    ids: Ids
    values: NDArray[np.generic]
    lengths: NDArray[np.int64] | None = None

    @staticmethod
    def joined(parts: list[Part]) -> Part:
        """All of ``parts``, at least one, in one."""
        ragged = parts[0].lengths is not None
        return Part(
            ids=np.concatenate([part.ids for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts if part.lengths is not None]) if ragged else None,
        )

    def taken(self, index: NDArray[np.int64]) -> Part:
        """The results of samples ``ids[index]``, in that order."""
        if self.lengths is None:
            return Part(ids=self.ids[index], values=self.values[index])
        totals = self.lengths.sum(axis=1)
        starts = (np.cumsum(totals) - totals)[index]
        wanted = totals[index]
        rows = np.arange(wanted.sum()) + np.repeat(starts - (np.cumsum(wanted) - wanted), wanted)
        return Part(ids=self.ids[index], values=self.values[rows], lengths=self.lengths[index])

    def of(self, wanted: Ids) -> Part:
        """The results of samples ``wanted``, in that order: the same distinct ids as ``ids``."""
        return self.taken(_positions(wanted, self.ids))


def in_order(wanted: Ids, found: Ids, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``values``, rows of samples ``found``, reordered to ``wanted``; both hold the same distinct ids."""
    return values[_positions(wanted, found)]


def split_runs(part: Part) -> list[NDArray[np.float32]]:
    """The values of each sample, in order of ``ids``, where it has one run of them."""
    assert part.lengths is not None, "values of samples are runs"
    ends = np.cumsum(part.lengths[:, 0])
    return np.split(part.values.astype(np.float32, copy=False), ends[:-1])[: len(part.ids)]


def split_known(found: list[Part], batches: list[Ids]) -> tuple[list[Part], list[Ids]]:
    """The results in ``found`` of those batches of which it has every sample, and the other batches."""
    if not found or not batches:
        return [], batches
    known = Part.joined(found)
    ids, first = np.unique(known.ids, return_index=True)
    sizes = np.array([len(batch) for batch in batches])
    flat = np.concatenate(batches)
    done = np.logical_and.reduceat(np.isin(flat, ids), np.cumsum(sizes) - sizes)
    wanted = flat[np.repeat(done, sizes)]
    left = [batch for batch, is_done in zip(batches, done, strict=True) if not is_done]
    return [known.taken(first[np.searchsorted(ids, wanted)])], left


def _positions(wanted: Ids, found: Ids) -> Ids:
    order = np.argsort(found, kind="stable")
    positions: Ids = order[np.searchsorted(found, wanted, sorter=order)]
    return positions
