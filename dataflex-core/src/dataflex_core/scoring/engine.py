"""One batching engine under every signal: pack, deal, collate, run, put back in order.

A batch that runs out of memory is halved and tried again, and no batch of its size is tried whole after that.
Results of a long pass are kept on disk as it goes, so that a killed one repeats little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from dataflex_core.collectives import Ranks
from dataflex_core.errors import Interrupted, RunFailed
from dataflex_core.scoring.batching import deal, lengths_of, pack
from dataflex_core.scoring.fingerprint import digest_of_samples
from dataflex_core.scoring.partial import OpenPass, Part, PartialStore, State

Ids = NDArray[np.int64]
Batch = dict[str, Any]
Ragged = tuple[torch.Tensor, torch.Tensor]
"""Rows of all samples of a batch, one after the other, and their numbers, Int64[B, C]."""


@dataclass(slots=True, kw_only=True, eq=False)
class Samples:
    """A map-style data set of tokenised samples, with their lengths and their digest, read once."""

    name: str
    dataset: Any
    _lengths: NDArray[np.int64] | None = field(default=None, init=False)
    _digest: str | None = field(default=None, init=False)
    dealt: tuple[Ids, list[Ids]] | None = field(default=None, init=False)
    """The last shard that was taken of them, and its batches."""

    def __len__(self) -> int:
        return len(self.dataset)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample, Int64[N]."""
        if self._lengths is None:
            self._lengths = lengths_of(self.dataset)
        return self._lengths

    def digest(self) -> str:
        """Of the samples' content. Reads all of them."""
        if self._digest is None:
            self._digest = digest_of_samples(self.dataset)
        return self._digest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What a pass is for.

    ``what`` tells people; passes of one ``signal`` take memory alike; ``request`` (JSON) and ``state`` are for whoever
    finds the results of a pass that was cut short.
    """

    what: str
    signal: str
    request: Mapping[str, object] = field(default_factory=dict)
    state: Callable[[], State] = dict


@dataclass(slots=True, kw_only=True, eq=False)
class Engine:
    """Runs a function over batches of samples, sharded over the ranks with an equal number of calls on each.

    ``token_budget`` bounds a batch in tokens, padding included. A rank with fewer batches than the others repeats one
    and drops the result, because a sharded model (``lockstep``) gathers its weights inside every forward. A pass ends
    with `Interrupted`, on all ranks after the same number of batches, where ``asked_to_end`` is true on one of them.
    """

    collate: Callable[[list[dict[str, Any]]], Mapping[str, Any]]
    ranks: Ranks
    token_budget: int
    workers: int = 0
    show_progress: bool = True
    lockstep: bool = False
    notice: Callable[[str], None] = lambda text: None
    store: PartialStore | None = None
    asked_to_end: Callable[[], bool] = lambda: False
    _too_large: dict[str, int] = field(default_factory=dict, init=False)

    def shard(self, samples: Samples, ids: Ids) -> Ids:
        """This rank's part of ``ids``, by whole batches, so that results do not depend on the number of ranks."""
        batches = deal(pack(ids, samples.lengths()[ids], self.token_budget), self.ranks.rank, self.ranks.world)
        shard = np.concatenate(batches) if batches else ids[:0]
        samples.dealt = (shard, batches)
        return shard

    def each(self, samples: Samples, shard: Ids, task: Task, call: Callable[[Batch, Ids | None], None]) -> None:
        """Call ``call(batch, ids)`` for each batch of this rank's ``shard``, on the training device.

        ``ids`` is None for a repeated batch whose result does not count. A call that runs out of memory is made again
        with half the samples, so it must have changed nothing by then. Raises `RunFailed` where one sample is too much.
        """
        self._run(samples, self._batches(samples, shard), task, call)

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
        found = self._collect(samples, shard, task, lambda batch: (call(batch).detach().float(), None))
        if found is None:
            return np.empty((0, *row), dtype=np.float32)
        return in_order(shard, found.ids, found.values.astype(np.float32, copy=False))

    def map_ragged(
        self, samples: Samples, shard: Ids, task: Task, call: Callable[[Batch], Ragged]
    ) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
        """Rows and numbers of rows, Int64[n, C], of each sample of ``shard``, in its order."""
        found = self._collect(samples, shard, task, call)
        if found is None or found.lengths is None:
            return np.empty(0, dtype=np.float32), np.empty((0, 1), dtype=np.int64)
        ordered = found.taken(_positions(shard, found.ids))
        assert ordered.lengths is not None
        return ordered.values, ordered.lengths

    def _collect(
        self,
        samples: Samples,
        shard: Ids,
        task: Task,
        call: Callable[[Batch], tuple[torch.Tensor, torch.Tensor | None]],
    ) -> Part | None:
        batches = self._batches(samples, shard)
        opened = self._open(samples, task)
        parts, batches = _usable([] if opened is None else opened.found, batches)

        def keep(batch: Batch, ids: Ids | None) -> None:
            values, lengths = call(batch)
            if ids is not None:
                counts = None if lengths is None else lengths.cpu().numpy()
                part = Part(ids=ids, values=values.cpu().numpy(), lengths=counts)
                parts.append(part)
                if opened is not None:
                    opened.add(part)

        try:
            self._run(samples, batches, task, keep)
        except Interrupted:
            if opened is not None:
                opened.keep()
            raise
        if opened is not None:
            opened.close()
        return Part.joined(parts) if parts else None

    def _open(self, samples: Samples, task: Task) -> OpenPass | None:
        if self.store is None:
            return None
        what = f"{task.what} of {samples.name}"
        return self.store.open(what, task.request, lambda: {"data": samples.digest(), **task.state()})

    def _run(self, samples: Samples, batches: list[Ids], task: Task, call: Callable[[Batch, Ids | None], None]) -> None:
        rounds = self.ranks.largest(len(batches))
        if rounds == 0:
            return
        spare = batches[0] if batches else np.zeros(1, dtype=np.int64)
        schedule = batches + [spare] * (rounds - len(batches))
        total = sum(map(len, batches))
        attempt = _Attempt(samples=samples, task=task, call=call)
        with tqdm(total=total, desc=attempt.title, unit="sample", disable=not self._shows(), leave=False) as bar:
            for index, batch in enumerate(self._load(samples, schedule)):
                if self.ranks.largest(int(self.asked_to_end())):
                    raise Interrupted(f"{attempt.title} were cut short", hint="dataflex run … --resume goes on")
                ids, counts = schedule[index], index < len(batches)
                self._attempt(attempt, batch, ids, counts)
                if counts:
                    bar.update(len(ids))

    def _attempt(self, attempt: _Attempt, batch: Batch, ids: Ids, counts: bool) -> None:
        tokens = batch["input_ids"].numel()
        if len(ids) == 1 or tokens < self._too_large.get(attempt.task.signal, tokens + 1):
            if attempt.fits(batch, ids if counts else None):
                return
            self._ran_out(attempt, len(ids), tokens)
        for part in np.array_split(ids, 2):
            rows = [attempt.samples.dataset[int(i)] for i in part]
            self._attempt(attempt, self._placed(self.collate(rows)), part, counts)

    def _ran_out(self, attempt: _Attempt, rows: int, tokens: int) -> None:
        unit = "sample" if rows == 1 else "batch"
        said = f"{attempt.title}: a {unit} of {tokens} tokens needs more memory than there is"
        if rows == 1:
            raise RunFailed(said, hint="lower cutoff_len")
        if self.lockstep:
            raise RunFailed(
                f"{said}, and ranks that share a model cannot change course alone",
                hint=f"set dataflex.token_budget to {tokens // 2}",
            )
        self.notice(f"{said}; batches are halved")
        self._too_large[attempt.task.signal] = tokens

    def _batches(self, samples: Samples, shard: Ids) -> list[Ids]:
        if samples.dealt is not None and np.array_equal(samples.dealt[0], shard):
            return samples.dealt[1]
        return pack(shard, samples.lengths()[shard], self.token_budget)

    def _load(self, samples: Samples, batches: list[Ids]) -> Iterator[Batch]:
        loader: DataLoader[Any] = DataLoader(
            samples.dataset,
            batch_sampler=_Lists(batches),
            collate_fn=self.collate,
            num_workers=self.workers,
            generator=torch.Generator(),
        )
        for batch in loader:
            yield self._placed(batch)

    def _placed(self, batch: Mapping[str, Any]) -> Batch:
        return {k: v.to(self.ranks.device) if torch.is_tensor(v) else v for k, v in batch.items()}

    def _shows(self) -> bool:
        return self.show_progress and self.ranks.rank == 0


class _Lists:
    """Batches as lists of ints, made one at a time: those of a large pool would outweigh its arrays."""

    def __init__(self, batches: list[Ids]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[int]]:
        return (batch.tolist() for batch in self._batches)

    def __len__(self) -> int:
        return len(self._batches)


def _usable(found: list[Part], batches: list[Ids]) -> tuple[list[Part], list[Ids]]:
    """What is known of whole batches, and the batches that are left."""
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Attempt:
    """A call on batches of ``samples``."""

    samples: Samples
    task: Task
    call: Callable[[Batch, Ids | None], None]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.task.what} of {self.samples.name}"

    def fits(self, batch: Batch, ids: Ids | None) -> bool:
        """Make the call; False where memory does not suffice for it."""
        try:
            self.call(batch, ids)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        else:
            return True
        # Only here is the error gone, and with it the tensors that its traceback held.
        clear_device_cache(garbage_collection=True)
        return False


def in_order(wanted: Ids, found: Ids, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``values`` of samples ``found``, reordered to ``wanted``; both hold the same distinct ids."""
    return values[_positions(wanted, found)]


def _positions(wanted: Ids, found: Ids) -> Ids:
    order = np.argsort(found, kind="stable")
    positions: Ids = order[np.searchsorted(found, wanted, sorter=order)]
    return positions
