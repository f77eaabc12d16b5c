"""What a report shows of samples: texts of a few, decoded as decisions are taken, and the lengths of all."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.journal.pool_facts import PoolFacts, drop_pool_facts, write_pool_facts
from dataflex_core.journal.shown import EACH, allowance, random_of, shown_of, weighed_allowance
from dataflex_core.journal.text_file import TextFile
from dataflex_core.journal.texts import Piece, Shown, Text
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.schedule import Interval
from dataflex_core.rng import derive
from dataflex_core.rows import Origins
from dataflex_core.scoring.batching import lengths_of
from dataflex_core.scoring.targets import IGNORE
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.leaks import samples_in
from dataflex_core.trainer.weighed_tokens import weighed_of

_CHARACTERS = 4000
_TARGETS = 100


class KeptTexts:
    """Writes to the folder of the run's journal, as `dataflex.keep` allows. Belongs to rank 0, and to it alone.

    Calls::

        begin()                     once, before the first step
        shown(plan)                 as an interval begins: what is shown of it
        decided(interval, shown)    with the reasons for that
        trained(interval, ids)      where no plan was made: after the first step of an interval
        weighed(step, table)        where weights of tokens are read
    """

    def __init__(self, run: ActiveRun, tokenizer: Any, device: torch.device) -> None:
        self._run, self._tokenizer, self._device = run, tokenizer, device
        args = RunArgs(written=run.prepared.config.args)
        self._cutoff = 0 if args.packs else args.cutoff_len
        self._keep = run.prepared.config.dataflex.keep
        self._file: TextFile | None = None

    def begin(self) -> None:
        """Write the lengths of the pool, and some of each target set."""
        journal = self._run.journal
        if self._keep.scores:
            facts = PoolFacts(
                lengths=lengths_of(self._run.pool).astype(np.int32),
                cutoff_len=self._cutoff,
                in_target=samples_in(self._run.pool, self._run.targets.values(), self._decoded),
                machine=machine(self._device),
            )
            write_pool_facts(journal.path.parent, journal.run, facts, journal.notice)
        else:  # a run that goes on may have written them, of another pool
            drop_pool_facts(journal.path.parent, journal.run)
        if not self._keep.texts:
            return
        self._file = TextFile(journal.path.parent, journal.run, journal.notice, source=self._run.source)
        self._file.go_on(self._run.tally.since, other="data" in self._run.changed)
        texts = []
        for name, data in self._run.targets.items():
            some = range(min(len(data), max(1, _TARGETS // len(self._run.targets))))
            texts += [self._target_text(name, i) for i in some if not self._file.has(i, name)]
        self._file.write(texts)

    def shown(self, plan: Plan) -> list[Shown]:
        """What is to be shown of a decision: nothing where no text may be kept."""
        if self._file is None or not (count := self._allowed(plan.interval.decision, plan.interval.start)):
            return []
        return shown_of(plan, self._run.seed, count)

    def decided(self, interval: Interval, shown: Sequence[Shown]) -> None:
        """Write what is shown of a decision, in place of what was shown of it where it was taken before."""
        if self._file is not None:
            self._show(interval, shown)

    def trained(self, interval: Interval, ids: NDArray[np.int64]) -> None:
        """Write what is shown of an interval in LLaMA-Factory's own order."""
        if self._file is not None:
            decision, count = interval.decision, min(self._allowed(interval.decision, interval.start), EACH)
            self._show(interval, random_of(interval, ids, derive("shown", self._run.seed, decision), count))

    def weighed(self, step: int, table: NDArray[Any]) -> None:
        """Write samples that step ``step`` weighed by token, of a `table_of`."""
        if self._file is None:
            return
        count = weighed_allowance(step, self._run.budget.schedule.total_steps, self._file.had_weighed(step))
        rows = [(row, self._run.pool[int(row[0])]) for row in table[:count]]
        made = (weighed_of(step, row, sample, self._decoded) for row, sample in rows)
        found = [one for one in made if one is not None]
        new = dict.fromkeys(one.sample for one in found if not self._file.has(one.sample))
        self._file.write([self.text_of(i) for i in new], weighed=found)

    def _allowed(self, decision: int, step: int) -> int:
        assert self._file is not None
        return allowance(decision, self._run.budget.schedule.decisions, self._file.had(decision, step))

    def _show(self, interval: Interval, shown: Sequence[Shown]) -> None:
        assert self._file is not None
        if not self._keep.scores:
            shown = [replace(one, score=None, rank=None) for one in shown]
        new = dict.fromkeys(one.sample for one in shown if not self._file.has(one.sample))
        texts = [self.text_of(sample) for sample in new]
        helped = dict.fromkeys((one.helps.target, one.helps.sample) for one in shown if one.helps is not None)
        texts += [self._target_text(name, i) for name, i in helped if not self._file.has(i, name)]
        self._file.write(texts, shown, decided=interval.decision, after=interval.start)

    def text_of(self, sample: int) -> Text:
        """The text of a sample of the pool."""
        return self._text(self._run.pool, sample, self._run.origins)

    def _target_text(self, name: str, sample: int) -> Text:
        return self._text(self._run.targets[name], sample, self._run.target_origins.get(name), name)

    def _text(self, data: Any, sample: int, origins: Origins | None, target: str = "") -> Text:
        row = data[sample]
        pieces, left_out = shortened([Piece(role=r, text=self._decoded(t)) for r, t in pieces_of(row)])
        found = None
        if origins is not None:
            with suppress(OSError, ValueError):  # counting the rows of files that are gone
                found = origins.of(sample)
        return Text(
            sample=sample,
            pieces=pieces,
            tokens=len(row["input_ids"]),
            trained=sum(label != IGNORE for label in row.get("labels", row["input_ids"])),
            cut=0 < self._cutoff <= len(row["input_ids"]),
            left_out=left_out,
            dataset=found[0].dataset if found else "",
            file=found[0].file if found else "",
            row=found[0].row if found else 0,
            target=target,
        )

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=False))


def machine(device: torch.device) -> dict[str, Any]:
    """What the run is on, in words."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count() or 0,
        "device": gpu or str(device.type),
    }


def pieces_of(row: Mapping[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """The tokens of a sample, turn by turn: ``prompt`` where its labels are masked, ``answer`` where they are not."""
    tokens = list(row["input_ids"])
    labels = list(row.get("labels", tokens))
    for is_answer, run in groupby(zip(tokens, labels, strict=True), key=lambda pair: pair[1] != IGNORE):
        yield "answer" if is_answer else "prompt", [token for token, _ in run]


def shortened(pieces: list[Piece], room: int = _CHARACTERS) -> tuple[tuple[Piece, ...], int]:
    """The first ``room`` characters of a sample, and how many more there are."""
    kept, over = [], 0
    for piece in pieces:
        text = piece.text[:room]
        room -= len(text)
        over += len(piece.text) - len(text)
        if text:
            kept.append(Piece(role=piece.role, text=text))
    return tuple(kept), over
