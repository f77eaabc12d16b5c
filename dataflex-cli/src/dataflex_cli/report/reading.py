"""What a run left behind: its journal, texts and lengths. Also of one that is still going."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataflex_core.errors import DataError, UsageError
from dataflex_core.journal import (
    Decision,
    End,
    Evaluated,
    Failed,
    Logged,
    Notice,
    Resume,
    Run,
    Start,
    Step,
    Trained,
    open_run,
)
from dataflex_core.journal.kept import pool_facts_of, scores_of, texts_of
from dataflex_core.journal.pace import Pace
from dataflex_core.journal.pool_facts import PoolFacts
from dataflex_core.journal.scores import DecisionScores
from dataflex_core.journal.texts import Text, Texts

Ids = NDArray[np.int64]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Which samples each step trained on: step ``steps[i]`` has ``ids[starts[i] : starts[i + 1]]``, all Int64."""

    steps: Ids
    starts: Ids
    ids: Ids

    def between(self, after: int, until: int) -> Ids:
        """The samples of the steps ``after + 1`` to ``until``, in order."""
        first, last = np.searchsorted(self.steps, [after, until], side="right")
        found: Ids = self.ids[self.starts[first] : self.starts[last]]
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A run as far as it went. ``losses`` and ``evaluations`` by name are (step, value).

    Where it went on with other data, the last time after step ``since``, all that is by sample or domain is of what
    came since then, ``run``: ``start``, ``decisions``, ``trace``, ``trained``, ``texts`` and ``pool``. Its course and
    what it cost are of the whole: ``every`` decision, ``logged``, ``losses``, ``evaluations``.
    """

    folder: Path
    journal: Path
    run: Run
    start: Start
    since: int | None
    decisions: tuple[Decision, ...]
    every: tuple[Decision, ...]
    trace: Trace
    logged: tuple[Logged, ...]
    trained: tuple[Trained, ...]
    losses: tuple[Point, ...]
    evaluations: dict[str, tuple[Point, ...]]
    resumes: tuple[Resume, ...]
    notices: tuple[Notice, ...]
    end: End | Failed | None
    texts: Texts
    targets: Mapping[tuple[str, int], str]
    """Digests of the texts of target samples that were kept, by target set and sample, with and without ``texts``."""
    pool: PoolFacts | None
    pace: Pace
    """How long its steps take."""

    def judged(self) -> Iterator[DecisionScores]:
        """What was judged, decision by decision, read as it is asked for: of large pools it does not fit into memory.

        Each decision once, as it was taken last.
        """
        return scores_of(self.run)

    @property
    def page(self) -> Path:
        """Where its report lies unless asked otherwise: beside the journal, and called after it."""
        return self.journal.with_name(f"{self.journal.stem.replace('journal', 'report')}.html")

    @property
    def step(self) -> int:
        """The last step that is done."""
        return self.run.step

    def chosen(self, decision: Decision) -> Ids:
        """What the interval of a decision trained on so far."""
        return self.trace.between(decision.step, decision.until)


def read_run(run: Path, *, texts: bool = True) -> Seen:
    """All that ``run`` left; without ``texts`` no word of any sample.

    Raises `DataError` for one that has no beginning yet, or whose files cannot be read.
    """
    try:
        told = open_run(run)
        now, folder = told.on_its_data, told.path.parent
        output = folder.parent if folder.name == "dataflex" else folder
        kept = texts_of(now)
    except OSError as error:
        raise DataError(f"{error.filename or run} cannot be read: {error.strerror}", hint="check who may") from error
    return Seen(
        folder=output,
        journal=told.path,
        run=now,
        start=now.start,
        since=now.changed_data_at,
        decisions=now.decisions,
        every=told.decisions,
        trace=_trace(now.steps),
        logged=told.logged,
        trained=now.trained,
        losses=_losses(told.logged),
        evaluations=_evaluations(told.evaluations),
        resumes=told.resumes,
        notices=told.notices,
        end=told.end,
        targets={(text.target, text.sample): _digest(text) for text in kept.targets},
        texts=kept if texts else _without_words(kept),
        pool=pool_facts_of(now),
        pace=_pace(told),
    )


def names_of(runs: Sequence[Path]) -> list[str]:
    """What runs are called: the names of their folders, with as many above as set them apart."""
    parts = [path.resolve().parts for path in runs]
    depth = [1] * len(runs)
    while True:
        names = [str(Path(*one[-deep:])) for one, deep in zip(parts, depth, strict=True)]
        deeper = [d + (names.count(n) > 1 and d < len(p)) for n, d, p in zip(names, depth, parts, strict=True)]
        if deeper == depth:
            return names
        depth = deeper


def refuse_twice(paths: Sequence[Path], runs: Sequence[Seen]) -> None:
    """Raise `UsageError` where two of ``runs``, which were read from ``paths``, are one."""
    journals = [one.journal.resolve() for one in runs]
    for i, journal in enumerate(journals):
        if journal in journals[:i]:
            raise UsageError(f"{paths[i]} is named twice", hint="a run is not compared with itself")


def _without_words(texts: Texts) -> Texts:
    """What was shown, and where it is, without a word of it."""
    samples = {sample: replace(text, pieces=()) for sample, text in texts.samples.items()}
    targets = [replace(text, pieces=()) for text in texts.targets]
    return Texts(samples=samples, targets=targets, shown=texts.shown)


def _digest(text: Text) -> str:
    return sha256(repr([(piece.role, piece.text) for piece in text.pieces]).encode()).hexdigest()


def _trace(steps: Sequence[Step]) -> Trace:
    counts = np.array([len(step.samples) for step in steps], dtype=np.int64)
    ids = [np.array(step.samples, dtype=np.int64) for step in steps]
    return Trace(
        steps=np.array([step.step for step in steps], dtype=np.int64),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        ids=np.concatenate(ids) if ids else np.zeros(0, dtype=np.int64),
    )


def _losses(logged: Iterable[Logged]) -> tuple[Point, ...]:
    return tuple((float(event.step), event.training["loss"]) for event in logged if "loss" in event.training)


def _evaluations(told: Iterable[Evaluated]) -> dict[str, tuple[Point, ...]]:
    found: dict[str, list[Point]] = {}
    for event in told:
        for name, value in event.figures.items():
            if name.startswith("eval_") and name.endswith("loss"):
                found.setdefault(name, []).append((float(event.step), value))
    return {name: tuple(points) for name, points in found.items()}


def _pace(run: Run) -> Pace:
    made = Pace()
    for event in run.events:
        made.add(event)
    return made
