"""A journal decided again: the planner of the run, asked anew with the scores and proportions that there were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dataflex_core.catalog import Catalog
from dataflex_core.config import params
from dataflex_core.config.section import Spread
from dataflex_core.contracts import Mixer, ScoringSelector, Strategy
from dataflex_core.errors import DataError
from dataflex_core.journal.events import Decision, Event, Resume, Start
from dataflex_core.journal.tally import domains_of
from dataflex_core.planning.budget import Budget, context_of
from dataflex_core.planning.exhaustion import Exhaustion
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.planner import Planner, Rules
from dataflex_core.planning.schedule import Interval, Schedule
from dataflex_core.prepared import MIXER, SELECTOR, Chosen, Slot, choose, make_strategy
from dataflex_core.requests import MixRequest, Mixture, Progress, SelectionRequest
from dataflex_core.signals import Signals
from dataflex_core.spec import Kind

Scores = Mapping[int, NDArray[np.float32]]
"""By decision, the scores of all its candidates, in ascending order of their ids."""
Columns = Mapping[str, NDArray[Any]]
"""By name, what the data's files have in a column for each sample of the pool, in ascending order of their ids."""


def replay(
    events: Iterable[Event], catalog: Catalog, scores: Scores | None = None, columns: Columns | None = None
) -> Iterator[tuple[Decision, Plan]]:
    """Each decision of a journal with the plan that the planner makes for it now, one after the other.

    The plan's `Plan.digest` is the decision's ``plan`` where everything is as it was: the strategies' code, parameters
    and seed, and ``scores``, which a `ScoringSelector` is not asked for again. A mixer is not asked either: its answers
    are those of the journal. Nothing else of the run is needed, neither its data nor a model, but for ``columns`` that
    a selector chooses by, which is not the same as its scores; importing this leaves torch out. Raises `DataError`
    where the journal has no beginning, lacks a decision's scores or went on with other data, strategies or schedule, or
    where a selector asks signals or reads a column that is not given; and `StrategyFault` where it has learnt what the
    journal does not tell.
    """
    start, planner, past, known = None, None, _Past(), _Columns(columns or {})
    for event in events:
        if isinstance(event, Start):
            start, planner = event, _planner(event, catalog, scores or {}, known, past)
        elif isinstance(event, Resume) and event.domains is not None:
            raise DataError(
                f"the run went on with other data after step {event.step}: what it had read of that is not journalled",
                hint="replay the events before that",
            )
        elif isinstance(event, Resume) and event.changed:
            raise DataError(
                f"the run went on otherwise after step {event.step}: {'; '.join(event.changed)}",
                hint="replay the events before that",
            )
        elif isinstance(event, Decision):
            if planner is None or start is None:
                raise DataError("the journal does not begin with its start", hint="replay it from its first event")
            past.decision = event
            interval = Interval(decision=event.decision, start=event.step, stop=event.until)
            yield event, planner.decide(interval, _progress(start, event), cast("Signals", _NoSignals()))


class _Past:
    """The decision whose recorded answers are given."""

    decision: Decision


def _planner(start: Start, catalog: Catalog, scores: Scores, columns: Columns, past: _Past) -> Planner:
    budget = _budget(start)
    chosen: dict[Slot, Chosen] = {}
    strategies: dict[Slot, Strategy[Any]] = {}
    for fact in start.strategies:
        slot = Slot(Kind(fact.kind), fact.position)
        if slot in (SELECTOR, MIXER):
            record = catalog.resolve(slot.kind, f"{fact.distribution}/{fact.name}")
            made = params.restored(record.load_params(), fact.params, owner=f"{fact.kind} {fact.name}")
            chosen[slot] = choose(record, made)
            strategies[slot] = make_strategy(chosen[slot])
    mixed = MIXER in strategies
    if mixed:
        strategies[MIXER] = _AsBefore(past)
    if (selector := strategies.get(SELECTOR)) is not None:
        selector.setup(context_of(budget, mixed=mixed, seed=start.seed, columns=columns))
        if isinstance(selector, ScoringSelector):
            selector.__dict__["scores"] = partial(_recorded, scores)
    rules = Rules(
        exhaustion=Exhaustion(start.exhaustion),
        warmup_proportions=start.warmup_proportions,
        spread=_spread(start),
    )
    return Planner(budget, rules, seed=start.seed, chosen=chosen, strategies=strategies, columns=columns)


def _spread(start: Start) -> Spread | None:
    """How choices were spread. Their scores are given as they were, predicted or not."""
    spread = start.config.get("spread")
    return Spread(**spread) if spread is not None else Spread() if start.exact is not None else None


def _budget(start: Start) -> Budget:
    return Budget(
        schedule=Schedule(warmup_steps=start.warmup_steps, update_steps=start.update_steps, total_steps=start.steps),
        domains=domains_of(start.domains),
        targets=tuple(start.targets.items()),
        global_batch=start.global_batch,
        judged=start.judged,
        decision_cost=start.decision_cost,
        step_cost=start.step_cost,
        mean_tokens=None if start.mean_tokens is None else tuple(start.mean_tokens[name] for name in start.domains),
    )


class _AsBefore(Mixer[None]):
    """Answers as the journal says that the mixer did."""

    def __init__(self, past: _Past) -> None:
        super().__init__(None)
        self._past = past

    def mix(self, request: MixRequest) -> Mixture:
        """The proportions of the decision."""
        shares = self._past.decision.proportions or {}
        return Mixture(proportions=np.array([shares[domain.name] for domain in request.domains]))


class _Columns(Mapping[str, Any]):
    """The columns that are given, and any other, until it is read."""

    def __init__(self, given: Columns) -> None:
        self._given = given

    def __getitem__(self, name: str) -> Any:
        return self._given[name] if name in self._given else _Unread(name)

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


class _Unread:
    """A column that a run carried, and nobody gives."""

    def __init__(self, column: str) -> None:
        self._column = column

    def __getattr__(self, name: str) -> Any:
        raise DataError(
            f"a replay has no data, and the column {self._column} is read", hint="give the columns that there were"
        )

    def __getitem__(self, at: Any) -> Any:
        return self.values

    def __len__(self) -> int:
        return int(self.size)

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        return np.asarray(self.values)


class _NoSignals:
    """There is no model to ask."""

    def __getattr__(self, name: str) -> Any:
        raise DataError(
            f"a replay has no model, and signals.{name} is asked for", hint="give the scores that there were"
        )


def _recorded(scores: Scores, request: SelectionRequest) -> NDArray[np.float32]:
    """In place of `ScoringSelector.scores`."""
    decision, count = request.progress.decision, len(request.candidates)
    found = scores.get(decision)
    if found is None or len(found) != count:
        had = "none" if found is None else f"{len(found)}"
        said = f"decision {decision} judged {count} candidates, and there are {had} scores of it"
        raise DataError(said, hint="give the decision's scores as the run kept them, one for each candidate")
    return found


def _progress(start: Start, event: Decision) -> Progress:
    return Progress(
        step=event.step,
        total_steps=start.steps,
        decision=event.decision,
        decisions=start.decisions,
        epoch=event.epoch,
        learning_rate=event.learning_rate,
        seed=start.seed,
    )
