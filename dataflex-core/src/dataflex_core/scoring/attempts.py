"""Calls on batches that may run out of memory: halved and made again, and no batch of that size whole after that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from dataflex_core.errors import RunFailed
from dataflex_core.scoring.samples import Batch, Ids

Call = Callable[[Batch, Ids | None], None]
"""Called with a batch and its samples' ids; ids None where the result does not count."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempts:
    """The calls of one pass, on batches that ``load`` makes of samples' ids.

    A call that runs out of memory is made again with half the samples, so it must have changed nothing by then.
    ``too_large`` is the least number of tokens that was too much for each signal: passes share and change it. Ranks
    in ``lockstep`` cannot halve alone. ``title`` is for people.
    """

    title: str
    signal: str
    call: Call
    load: Callable[[Ids], Batch]
    too_large: dict[str, int]
    lockstep: bool
    notice: Callable[[str], None]

    def make(self, batch: Batch, ids: Ids, *, counts: bool) -> None:
        """Call with ``batch`` of samples ``ids``, or with parts of it; without the ids unless it ``counts``.

        Raises `RunFailed` where one sample is too much, and where a batch is that may not be halved.
        """
        tokens = batch["input_ids"].numel()
        if len(ids) == 1 or tokens < self.too_large.get(self.signal, tokens + 1):
            if self._fits(batch, ids if counts else None):
                return
            self._note_too_large(len(ids), tokens)
        for half in np.array_split(ids, 2):
            self.make(self.load(half), half, counts=counts)

    def _fits(self, batch: Batch, ids: Ids | None) -> bool:
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

    def _note_too_large(self, rows: int, tokens: int) -> None:
        unit = "sample" if rows == 1 else "batch"
        said = f"{self.title}: a {unit} of {tokens} tokens needs more memory than there is"
        if rows == 1:
            raise RunFailed(said, hint="lower cutoff_len")
        if self.lockstep:
            raise RunFailed(
                f"{said}, and ranks that share a model cannot change course alone",
                hint=f"set dataflex.token_budget to {tokens // 2}",
            )
        self.notice(f"{said}; batches are halved")
        self.too_large[self.signal] = tokens
