"""One batching engine under every signal: pack, deal, collate, run, put back in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from dataflex_core.ranks import Ranks
from dataflex_core.signals.batching import deal, lengths_of, pack

Ids = NDArray[np.int64]
Batch = dict[str, Any]


@dataclass(slots=True, kw_only=True, eq=False)
class Samples:
    """A map-style data set of tokenised samples, with their lengths, read once."""

    name: str
    dataset: Any
    _lengths: NDArray[np.int64] | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.dataset)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample, Int64[N]."""
        if self._lengths is None:
            self._lengths = lengths_of(self.dataset)
        return self._lengths


@dataclass(slots=True, kw_only=True, eq=False)
class Engine:
    """Runs a function over batches of samples, sharded over the ranks with an equal number of calls on each.

    ``token_budget`` bounds a batch in tokens, padding included. A rank with fewer batches than the others repeats one
    and drops the result, because a sharded model gathers its weights inside every forward.
    """

    collate: Callable[[list[dict[str, Any]]], Mapping[str, Any]]
    ranks: Ranks
    token_budget: int
    workers: int = 0
    show_progress: bool = True
    _dealt: dict[int, tuple[Ids, list[Ids]]] = field(default_factory=dict, init=False)

    def shard(self, samples: Samples, ids: Ids) -> Ids:
        """This rank's part of ``ids``, by whole batches, so that results do not depend on the number of ranks."""
        batches = deal(pack(ids, samples.lengths()[ids], self.token_budget), self.ranks.rank, self.ranks.world)
        shard = np.concatenate(batches) if batches else ids[:0]
        self._dealt[id(samples)] = (shard, batches)
        return shard

    def each(self, samples: Samples, shard: Ids, what: str, call: Callable[[Batch, Ids | None], None]) -> None:
        """Call ``call(batch, ids)`` for each batch of this rank's ``shard``, on the training device.

        ``ids`` is None for a repeated batch whose result does not count.
        """
        batches = self._batches(samples, shard)
        rounds = self.ranks.largest(len(batches))
        if rounds == 0:
            return
        spare = batches[0] if batches else np.zeros(1, dtype=np.int64)
        schedule = batches + [spare] * (rounds - len(batches))
        with tqdm(total=len(shard), desc=what, unit="sample", disable=not self._shows(), leave=False) as bar:
            for index, batch in enumerate(self._load(samples, schedule)):
                real = index < len(batches)
                call(batch, schedule[index] if real else None)
                if real:
                    bar.update(len(schedule[index]))

    def map(
        self, samples: Samples, shard: Ids, what: str, call: Callable[[Batch], torch.Tensor]
    ) -> NDArray[np.float32]:
        """One float32 per sample of ``shard``, in its order, from ``call``'s Float[B] per batch."""
        parts: list[torch.Tensor] = []
        order: list[Ids] = []

        def collect(batch: Batch, ids: Ids | None) -> None:
            values = call(batch)
            if ids is not None:
                parts.append(values.detach().float())
                order.append(ids)

        self.each(samples, shard, what, collect)
        if not parts:
            return np.empty(0, dtype=np.float32)
        found = np.concatenate(order)
        values = torch.cat(parts).cpu().numpy()
        return in_order(shard, found, values)

    def _batches(self, samples: Samples, shard: Ids) -> list[Ids]:
        dealt = self._dealt.get(id(samples))
        if dealt is not None and np.array_equal(dealt[0], shard):
            return dealt[1]
        return pack(shard, samples.lengths()[shard], self.token_budget)

    def _load(self, samples: Samples, batches: list[Ids]) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            samples.dataset,
            batch_sampler=[batch.tolist() for batch in batches],
            collate_fn=self.collate,
            num_workers=self.workers,
            generator=torch.Generator(),
        )
        for batch in loader:
            yield {k: v.to(self.ranks.device) if torch.is_tensor(v) else v for k, v in batch.items()}

    def _shows(self) -> bool:
        return self.show_progress and self.ranks.rank == 0


def in_order(wanted: Ids, found: Ids, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``values`` of samples ``found``, reordered to ``wanted``; both hold the same distinct ids."""
    order = np.argsort(found, kind="stable")
    return values[order[np.searchsorted(found, wanted, sorter=order)]]
