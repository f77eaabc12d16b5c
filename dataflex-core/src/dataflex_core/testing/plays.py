"""A strategy played through a scene, on ranks that are threads: what it answered, and what was noticed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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

SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
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
        owner = f"{self.spec.kind} {self.spec.name}"
        made = params.validate(self.record.load_params(), self.values, owner=owner)
        return make_strategy(Chosen(record=self.record, params=made))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """What a checkpoint holds of a run: how many turns were played, the strategy's state, the proportions so far."""

    played: int
    state: Mapping[str, Any]
    shares: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Performance:
    """What one rank did: an answer a turn, the state after each turn where they were kept, and what was noticed."""

    answers: tuple[Answer, ...]
    snapshots: tuple[Snapshot, ...]
    state: Mapping[str, Any]
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
        strategy.load_state_dict(start.state)
        stage.shares = list(start.shares)
    answers, snapshots = [], []
    for played, turn in enumerate(scene.turns):
        if start is not None and played < start.played:
            continue
        answers.append(turn.play(strategy, stage))
        meeting.meet(rank, f"has answered at {turn.title}", None)
        if keep:
            state = through_disk(strategy.state_dict())
            snapshots.append(Snapshot(played=played + 1, state=state, shares=tuple(stage.shares)))
    if repr(strategy.params) != before:
        stage.touched.add("params")
    return Performance(
        answers=tuple(answers),
        snapshots=tuple(snapshots),
        state=through_disk(strategy.state_dict()),
        asked=frozenset(stage.asked),
        drew=stage.drew,
        touched=tuple(sorted(stage.touched)),
        attached=stage.attached,
    )


def through_disk(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state as a run finds it again in a checkpoint. Raises `StrategyFault` where it cannot be written."""
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


def difference(first: Iterable[Answer], second: Iterable[Answer], *, exact: bool = True) -> str | None:
    """The first turn at which two performances part, or None; where not ``exact``, rounding is no difference."""
    for turn, (one, other) in enumerate(zip(first, second, strict=True)):
        if len(one) != len(other) or not all(_alike(a, b, exact) for a, b in zip(one, other, strict=True)):
            return f"question {turn + 1}: {_shown(one)} and {_shown(other)}"
    return None


def state_difference(first: Any, second: Any, where: str = "state", *, exact: bool = True) -> str | None:
    """Where two states part, or None."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            return f"{where} has the keys {sorted(first)} and {sorted(second)}"
        parts = [(f"{where}.{key}", first[key], second[key]) for key in first]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        parts = [(f"{where}.{i}", a, b) for i, (a, b) in enumerate(zip(first, second, strict=True))]
    else:
        same = type(first) is type(second) and _alike(np.asarray(first), np.asarray(second), exact)
        return None if same else f"{where} is {first!r} and {second!r}"
    found = (state_difference(a, b, name, exact=exact) for name, a, b in parts)
    return next((text for text in found if text is not None), None)


def _alike(first: NDArray[Any], second: NDArray[Any], exact: bool) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.dtype.kind != "f":
        return bool(np.array_equal(first, second))
    if exact:
        return bool(np.array_equal(first, second, equal_nan=True))
    return bool(np.allclose(first, second, rtol=1e-4, atol=1e-6, equal_nan=True))


def _shown(answer: Answer) -> str:
    return ", ".join(np.array2string(part, threshold=12, edgeitems=4, precision=4) for part in answer) or "nothing"
