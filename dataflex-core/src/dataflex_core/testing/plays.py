"""A strategy played through a scene, on ranks that are threads: what it answered, and what was noticed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core import params
from dataflex_core.catalog import Record
from dataflex_core.checkpoint import stored_state, write_state
from dataflex_core.contracts import make_strategy
from dataflex_core.errors import UsageError
from dataflex_core.outline import shares_of
from dataflex_core.plan import normalised
from dataflex_core.prepare import Chosen
from dataflex_core.spec import Need, StrategySpec
from dataflex_core.strategy import Strategy
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.ranks import Meeting, on_ranks
from dataflex_core.testing.scenes import Scene
from dataflex_core.testing.turns import Answer, Stage

Answers = tuple[tuple[str, Answer], ...]
"""Answers with the titles of the turns."""
SEED = 7


@dataclass(frozen=True, kw_only=True)  # without slots: what was validated is kept
class Subject:
    """A strategy to be checked: its declaration, and values for its parameters."""

    spec: StrategySpec
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """As the catalog would hold it."""
        return Record(spec=self.spec, distribution=self.spec.target.partition(".")[0].partition(":")[0], version="")

    def make(self) -> Strategy[Any]:
        """As a run does. Raises `InvalidParameters` and `StrategyFault`."""
        return make_strategy(Chosen(record=self.record, params=deepcopy(self._params)))

    @cached_property
    def _params(self) -> Any:
        return params.validate(self.record.load_params(), self.values, owner=f"{self.spec.kind} {self.spec.name}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """What a checkpoint holds of a run: how many turns were played, the strategy's state, the proportions so far."""

    played: int
    state: Mapping[str, Any]
    shares: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Performance:
    """What one rank did, and what was noticed: answers, with what was asked, and snapshots before each question."""

    answers: Answers
    snapshots: tuple[Snapshot, ...]
    last: Snapshot
    asked: frozenset[Need]
    drew: bool
    touched: tuple[str, ...]
    attached: bool


def play(
    subject: Subject,
    scene: Scene,
    *,
    ranks: int = 1,
    seed: int = SEED,
    start: Snapshot | None = None,
    keep: bool = False,
) -> list[Performance]:
    """Every rank's performance of a scene, from its beginning or from a snapshot; with ``keep`` it leaves snapshots."""
    return on_ranks(ranks, lambda rank, meeting: _perform(subject, scene, rank, meeting, seed, start, keep))


def _perform(
    subject: Subject, scene: Scene, rank: int, meeting: Meeting, seed: int, start: Snapshot | None, keep: bool
) -> Performance:
    strategy = subject.make()
    shares = [normalised(shares_of("size", scene.pool.domains), len(scene.pool.domains))]
    stage = Stage(spec=subject.spec, pool=scene.pool, seed=seed, rank=rank, meeting=meeting, shares=shares)
    before = repr(strategy.params)
    strategy.setup(stage.context())
    if start is not None:
        strategy.load_state_dict(deepcopy(start.state))  # which may be changed: it is of one strategy only
        stage.shares = list(start.shares)
    answers, snapshots = [], []
    for played in range(0 if start is None else start.played, len(scene.turns)):
        if keep:
            snapshots.append(_snapshot(strategy, stage, played))
        turn = scene.turns[played]
        answers.append((turn.title, turn.play(strategy, stage)))
        meeting.meet(rank, f"has answered at {turn.title}", None)
    if repr(strategy.params) != before:
        stage.touched.add("params")
    return Performance(
        answers=tuple(answers),
        snapshots=tuple(snapshots),
        last=_snapshot(strategy, stage, len(scene.turns)),
        asked=frozenset(stage.asked),
        drew=stage.drew,
        touched=tuple(sorted(stage.touched)),
        attached=stage.attached,
    )


def _snapshot(strategy: Strategy[Any], stage: Stage, played: int) -> Snapshot:
    """As a run finds it again in a checkpoint. Raises `StrategyFault` where the state cannot be written."""
    state = strategy.state_dict()
    found = _through_disk(state) if state else {}
    return Snapshot(played=played, state=found, shares=tuple(stage.shares))


def _through_disk(state: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="dataflex-state-") as folder:
        write_state(Path(folder), {"strategy": state})
        found: dict[str, Any] = stored_state(Path(folder))["strategy"]
    return found


def fitting(subject: Subject, scenes: Iterable[Scene]) -> list[Scene]:
    """The scenes that the strategy takes part in: one that refuses a run in ``setup`` is not asked about it."""
    return [scene for scene in scenes if _refusal(subject, scene) is None]


def fitting_some(subject: Subject, scenes: Iterable[Scene]) -> list[Scene]:
    """The same. Raises `CheckFailed` where it refuses all."""
    scenes = list(scenes)
    if found := fitting(subject, scenes):
        return found
    names = ", ".join(domain.name for domain in scenes[0].pool.domains)
    raise CheckFailed(
        f"setup refuses every run, the first with: {_refusal(subject, scenes[0])}; "
        f"give params that fit: the domains are {names}"
    )


def _refusal(subject: Subject, scene: Scene) -> UsageError | None:
    stage = Stage(spec=subject.spec, pool=scene.pool, seed=SEED, rank=0, meeting=Meeting(1), shares=[])
    strategy = subject.make()
    try:
        strategy.setup(stage.context())
    except UsageError as refusal:
        return refusal
    return None
