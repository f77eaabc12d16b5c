"""One batching engine under every signal: pack, deal, collate, run, put back in order.

Results of a long pass are kept on disk as it goes, so that a killed one repeats little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from dataflex_core.collectives import Looks, Ranks
from dataflex_core.errors import Interrupted
from dataflex_core.questions import as_ids
from dataflex_core.scoring.attempts import Attempts, Call
from dataflex_core.scoring.batching import deal, pack, without
from dataflex_core.scoring.feed import Feed
from dataflex_core.scoring.frozen import added, found
from dataflex_core.scoring.partial import OpenPass, PartialStore, State
from dataflex_core.scoring.results import Part, in_order, split_known
from dataflex_core.scoring.samples import Batch, Ids, Samples
from dataflex_core.scoring.store import Shelf
from dataflex_core.scoring.waiting import Waiting

Ragged = tuple[torch.Tensor, torch.Tensor]
"""Rows of all samples of a batch, one after the other, and their numbers, Int64[B, C]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What a pass is for.

    ``what`` tells people; passes of one ``signal`` take memory alike; ``request`` (JSON) and ``state`` are for whoever
    finds the results of a pass that was cut short. ``shelf`` is where the store has the answers of a model that does
    not train: what is there is not computed, what is not is put there.
    """

    what: str
    signal: str
    request: Mapping[str, object] = field(default_factory=dict)
    state: Callable[[], State] = dict
    shelf: Shelf | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Engine:
    """Runs a function over batches of samples, sharded over the ranks with an equal number of calls on each.

    ``token_budget`` bounds a batch in tokens, padding included; partial results go to ``store``, but for those of
    ``unkept`` signals. A rank with fewer batches than the others repeats one
    and drops the result, because a sharded model (``lockstep``) gathers its weights inside every forward.

    Every pass is collective. It raises `Interrupted`, on all ranks after the same number of batches, where
    ``asked_to_end`` is true on one of them, and `RunFailed` where memory does not suffice (`Attempts`).
    """

    collate: Callable[[list[dict[str, Any]]], Mapping[str, Any]]
    ranks: Ranks
    token_budget: int
    workers: int = 0
    show_progress: bool = True
    lockstep: bool = False
    notice: Callable[[str], None] = lambda text: None
    store: PartialStore | None = None
    unkept: frozenset[str] = frozenset()
    asked_to_end: Callable[[], bool] = lambda: False
    _too_large: dict[str, int] = field(default_factory=dict, init=False)

    def shard(self, samples: Samples, ids: Ids) -> Ids:
        """This rank's part of ``ids``, by whole batches, so that results do not depend on the number of ranks."""
        batches = self._dealt(samples, ids)
        shard = np.concatenate(batches) if batches else ids[:0]
        samples.dealt = (shard, batches)
        return shard

    def each(self, samples: Samples, ids: Ids, task: Task, call: Call) -> None:
        """Make ``call`` for each batch of this rank's part of ``ids``; nothing of the pass is kept on disk."""
        self._run(samples, self._dealt(samples, ids), task, call)

    def map(
        self,
        samples: Samples,
        shard: Ids,
        task: Task,
        call: Callable[[Batch], torch.Tensor],
        *,
        row: tuple[int, ...] = (),
    ) -> NDArray[np.float32]:
        """Float32[n, *row], one row per sample of ``shard``, in its order, from ``call``'s Float[B, *row] per batch."""
        shard = as_ids(shard, len(samples))
        made = self._collect(samples, shard, task, lambda batch: (call(batch).detach().float(), None), row)
        if made is None:
            return np.empty((0, *row), dtype=np.float32)
        return in_order(shard, made.ids, made.values.astype(np.float32, copy=False))

    def map_ragged(
        self, samples: Samples, shard: Ids, task: Task, call: Callable[[Batch], Ragged]
    ) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
        """Rows and numbers of rows, Int64[n, C], of each sample of ``shard``, in its order."""
        shard = as_ids(shard, len(samples))
        made = self._collect(samples, shard, task, call, None)
        if made is None:
            return np.empty(0, dtype=np.float32), np.empty((0, 1), dtype=np.int64)
        ordered = made.of(shard)
        assert ordered.lengths is not None
        return ordered.values, ordered.lengths

    def _collect(
        self,
        samples: Samples,
        shard: Ids,
        task: Task,
        call: Callable[[Batch], tuple[torch.Tensor, torch.Tensor | None]],
        row: tuple[int, ...] | None,
    ) -> Part | None:
        """Results of ``shard``, in any order, from disk where an earlier pass left them; None of an empty one."""
        stored = None if task.shelf is None else found(task.shelf, samples, shard, row)
        batches = self._batches(samples, shard)
        if stored is not None:
            batches = without(batches, stored.ids)
        opened = self._open(samples, task)
        parts, batches = split_known([] if opened is None else opened.found, batches)

        waiting = Waiting()

        def read() -> None:
            for part in waiting.read():
                parts.append(part)
                if opened is not None:
                    opened.add(part)

        def keep(batch: Batch, ids: Ids | None) -> None:
            values, lengths = call(batch)
            if ids is not None:
                waiting.add(ids, values, lengths)
                if waiting.is_large or (opened is not None and opened.is_due()):
                    read()

        try:
            self._run(samples, batches, task, keep)
        except Interrupted:
            read()
            if opened is not None:
                opened.keep()
            raise
        read()
        if opened is not None:
            opened.close()
        if task.shelf is not None:
            # All at once, when the pass is done: one that is cut short goes on with the batches that it had.
            parts = [added(task.shelf, samples, Part.joined(parts))] if parts else []
            self.ranks.largest(0)  # whoever looks next finds what all have added
        return Part.joined([*parts, *([] if stored is None else [stored])]) if parts or stored is not None else None

    def _open(self, samples: Samples, task: Task) -> OpenPass | None:
        if self.store is None or task.signal in self.unkept:
            return None
        return self.store.open(_title(samples, task), task.request, lambda: {"data": samples.digest(), **task.state()})

    def _run(self, samples: Samples, batches: list[Ids], task: Task, call: Call) -> None:
        rounds = self.ranks.largest(len(batches))
        if rounds == 0:
            return
        spare = batches[0] if batches else np.zeros(1, dtype=np.int64)
        schedule = batches + [spare] * (rounds - len(batches))
        title = _title(samples, task)
        attempts = Attempts(
            title=title,
            signal=task.signal,
            call=call,
            load=lambda ids: self._collated(samples, ids),
            too_large=self._too_large,
            lockstep=self.lockstep,
            notice=self.notice,
        )
        total = sum(map(len, batches))
        looks = Looks(self.ranks)
        # Where it is shown, tqdm's own default stands: TQDM_DISABLE means all bars.
        hidden = {} if self._shows() else {"disable": True}
        with tqdm(total=total, desc=title, unit="sample", leave=False, **hidden) as bar:
            for index, tensors in enumerate(self._load(samples, schedule)):
                if looks.any_wants(self.asked_to_end()):
                    raise Interrupted(f"{title} were cut short", hint="dataflex run … --resume goes on")
                ids, counts = schedule[index], index < len(batches)
                attempts.make(self._batch(samples, ids, tensors), ids, counts=counts)
                if counts:
                    bar.update(len(ids))

    def _dealt(self, samples: Samples, ids: Ids) -> list[Ids]:
        return deal(pack(ids, samples.lengths()[ids], self.token_budget), self.ranks.rank, self.ranks.world)

    def _batches(self, samples: Samples, shard: Ids) -> list[Ids]:
        if samples.dealt is not None and np.array_equal(samples.dealt[0], shard):
            return samples.dealt[1]
        return pack(shard, samples.lengths()[shard], self.token_budget)

    def _load(self, samples: Samples, batches: list[Ids]) -> Iterator[Mapping[str, Any]]:
        if samples.feed is None:
            samples.feed = Feed(samples.dataset, self.collate, workers=self.workers)
        yield from samples.feed(batches)

    def _collated(self, samples: Samples, ids: Ids) -> Batch:
        return self._batch(samples, ids, self.collate([samples.dataset[int(i)] for i in ids]))

    def _batch(self, samples: Samples, ids: Ids, tensors: Mapping[str, Any]) -> Batch:
        placed = {k: v.to(self.ranks.device) if torch.is_tensor(v) else v for k, v in tensors.items()}
        return Batch(placed, alone=lambda index: self._collated(samples, ids[index : index + 1]), on_host=tensors)

    def _shows(self) -> bool:
        return self.show_progress and self.ranks.rank == 0


def _title(samples: Samples, task: Task) -> str:
    return f"{task.what} of {samples.name}"
