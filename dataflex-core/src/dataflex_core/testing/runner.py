"""A strategy run through a scenario, on ranks that are threads: what it answered, and what was noticed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.asking import settings_kept
from dataflex_core.catalog import Record
from dataflex_core.config import params
from dataflex_core.contracts import Mixer, Strategy, Weighter
from dataflex_core.errors import UsageError
from dataflex_core.planning.budget import context_of
from dataflex_core.planning.planner import Planner, Rules
from dataflex_core.prepared import MIXER, Chosen, Slot, choose, implementation_of, make_strategy
from dataflex_core.references import reference_parameters
from dataflex_core.requests import MixRequest, SetupContext
from dataflex_core.spec import Need, StrategySpec
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.ranks import Meeting, on_ranks
from dataflex_core.testing.scenarios import Scenario, Shares
from dataflex_core.testing.steps import Answer, Observing, Runner, Step
from dataflex_core.testing.watching import watch
from dataflex_core.testing.weighing import Preparing, Weighing
from dataflex_core.trainer.checkpoint_files import stored_state, write_state

Answers = tuple[tuple[str, Answer], ...]
"""Answers with the titles of the steps."""
SEED = 7
REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)  # without slots: what was validated is kept
class Subject:
    """A strategy to be checked: its declaration, and values for its parameters.

    One that is required and names a reference model is `REFERENCE`, of which `FakeSignals` answers, unless it is given.
    """

    spec: StrategySpec
    values: Mapping[str, Any] = field(default_factory=dict)
    single_file: bool = False

    @property
    def record(self) -> Record:
        """As the catalog would hold it."""
        return Record(spec=self.spec, distribution=self.spec.target.partition(".")[0].partition(":")[0], version="")

    def make(self) -> Strategy[Any]:
        """As a run does. Raises `InvalidParameters` and `StrategyFault`."""
        return self.build(self.chosen)

    def build(self, chosen: Chosen) -> Strategy[Any]:
        """Of `chosen`, or the same again."""
        return make_strategy(chosen)

    @property
    def chosen(self) -> Chosen:
        """With its parameters, which a run may change and another is not to see."""
        return choose(self.record, deepcopy(self._params))

    @cached_property
    def given(self) -> Mapping[str, Any]:
        """Values for its parameters, those that the kit gives included."""
        kind = self.record.load_params()
        models = () if kind is None else reference_parameters(kind)
        return {**{name: REFERENCE for name in self._required if name in models}, **self.values}

    @property
    def missing(self) -> tuple[str, ...]:
        """Required parameters that nobody gives."""
        return tuple(name for name in self._required if name not in self.given)

    @cached_property
    def _required(self) -> tuple[str, ...]:
        return tuple(p.name for p in params.describe(self.record.load_params()) if p.required)

    @cached_property
    def _params(self) -> Any:
        return params.validate(self.record.load_params(), self.given, owner=f"{self.spec.kind} {self.spec.name}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """What a checkpoint holds of a run: how many steps are done, the states of the strategy and of the planner."""

    done: int
    state: Mapping[str, Any]
    planner: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """What one rank did, and what was noticed: answers, with what was asked, and snapshots before each question."""

    answers: Answers
    snapshots: tuple[Snapshot, ...]
    last: Snapshot
    asked: frozenset[Need]
    drew: bool
    touched: tuple[str, ...]
    attached: bool
    scores: Answers
    disordered: tuple[str, ...]
    left: tuple[str, ...] = ()


def run_scenario(
    subject: Subject,
    scenario: Scenario,
    *,
    ranks: int = 1,
    seed: int = SEED,
    start: Snapshot | None = None,
    keep: bool = False,
) -> list[Trace]:
    """Every rank's trace of a scenario, from its beginning or from a snapshot; with ``keep`` it leaves snapshots."""
    with settings_kept() as changed:
        traces = on_ranks(ranks, lambda rank, meeting: _run(subject, scenario, rank, meeting, seed, start, keep))
        left = changed()
    return [replace(trace, left=left) for trace in traces]


def _run(
    subject: Subject, scenario: Scenario, rank: int, meeting: Meeting, seed: int, start: Snapshot | None, keep: bool
) -> Trace:
    chosen = subject.chosen
    strategy = subject.build(chosen)
    runner = _runner(subject, scenario, strategy, seed=seed, rank=rank, meeting=meeting)
    watch(strategy, runner)
    before = repr(chosen.params)  # not the strategy's, which need not keep them
    strategy.setup(_context(scenario, seed))
    if start is not None:
        strategy.load_state_dict(deepcopy(start.state))  # which may be changed: it is of one strategy only
        runner.planner.load(deepcopy(start.planner))
    answers, snapshots = [], []
    for done in range(0 if start is None else start.done, len(scenario.steps)):
        if keep:
            snapshots.append(_snapshot(strategy, runner, done))
        step = scenario.steps[done]
        answers.append((step.title, step.ask(strategy, runner)))
        meeting.meet(rank, f"has answered at {step.title}", None)
    if repr(chosen.params) != before:
        runner.touched.add("params")
    return Trace(
        answers=tuple(answers),
        snapshots=tuple(snapshots),
        last=_snapshot(strategy, runner, len(scenario.steps)),
        asked=frozenset(runner.asked),
        drew=runner.drew,
        touched=tuple(sorted(runner.touched)),
        attached=runner.attached,
        scores=tuple(runner.scores),
        disordered=tuple(sorted(runner.disordered)),
    )


def _runner(
    subject: Subject, scenario: Scenario, strategy: Strategy[Any], *, seed: int, rank: int, meeting: Meeting
) -> Runner:
    # What it asks without having declared it is one check's business: every other one lets it ask.
    chosen = replace(subject.chosen, needs=frozenset(Need))
    slots: dict[Slot, Chosen] = {Slot(subject.spec.kind): chosen}
    strategies: dict[Slot, Strategy[Any]] = {Slot(subject.spec.kind): strategy}
    if scenario.shares:
        slots[MIXER] = chosen
        strategies[MIXER] = _GivenShares(scenario.shares)
    planner = Planner(
        scenario.budget,
        Rules(probing=scenario.probing),
        seed=seed,
        chosen=slots,
        strategies=strategies,
        columns=scenario.pool.columns,
        features=scenario.pool.features,
    )
    return Runner(
        chosen=subject.chosen,
        pool=scenario.pool,
        budget=scenario.budget,
        planner=planner,
        seed=seed,
        rank=rank,
        meeting=meeting,
    )


def _context(scenario: Scenario, seed: int) -> SetupContext:
    return context_of(scenario.budget, mixed=bool(scenario.shares), seed=seed, columns=scenario.pool.columns)


class _GivenShares(Mixer[None]):
    """The mixer beside a selector: the same proportions in every run of a scenario, decision by decision."""

    def __init__(self, shares: Shares) -> None:
        super().__init__(None)
        self._shares = shares

    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """Those of the decision."""
        return np.array(self._shares[(request.progress.decision - 1) % len(self._shares)])


def _snapshot(strategy: Strategy[Any], runner: Runner, done: int) -> Snapshot:
    """As a run finds it again in a checkpoint. Raises `StrategyFault` where the state cannot be written."""
    found = _through_disk({"strategy": strategy.state_dict(), "planner": runner.planner.state()})
    return Snapshot(done=done, state=found["strategy"], planner=found["planner"])


def _through_disk(state: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="dataflex-state-") as folder:
        write_state(Path(folder), state)
        return stored_state(Path(folder))


def fitting(subject: Subject, scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The scenarios that the strategy takes part in, without what it does not listen to.

    One that refuses a run in ``setup`` is not asked about it.
    """
    return [_heard(subject, scenario) for scenario in scenarios if _refusal(subject, scenario) is None]


def _heard(subject: Subject, scenario: Scenario) -> Scenario:
    strategy = implementation_of(subject.record)
    unheard: tuple[type[Step], ...] = () if strategy.observe is not Strategy.observe else (Observing,)
    if not issubclass(strategy, Weighter) or strategy.prepare is Weighter.prepare:
        unheard += (Preparing,)
    # A run whose steps have one sample refuses a weighter that compares.
    compares = subject.chosen.compares
    heard = (step for step in scenario.steps if not isinstance(step, unheard) and not (compares and _is_alone(step)))
    return replace(scenario, steps=tuple(heard))


def _is_alone(step: Step) -> bool:
    return isinstance(step, Weighing) and step.part is None and len(step.samples) == 1


def fitting_some(subject: Subject, scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The same. Raises `CheckFailed` where it refuses all."""
    scenarios = list(scenarios)
    if found := fitting(subject, scenarios):
        return found
    names = ", ".join(domain.name for domain in scenarios[0].pool.domains)
    raise CheckFailed(
        f"setup refuses every run, the first with: {_refusal(subject, scenarios[0])}; "
        f"give params that fit: the domains are {names}"
    )


def _refusal(subject: Subject, scenario: Scenario) -> UsageError | None:
    strategy = subject.make()
    with settings_kept():
        try:
            strategy.setup(_context(scenario, SEED))
        except UsageError as refusal:
            return refusal
    return None
