"""What a run's selector is given to choose by: its scores, for the most part predicted where asked for, and spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.config.section import Spread
from dataflex_core.contracts import ScoringSelector
from dataflex_core.planning.predict import Features, Memory, as_table
from dataflex_core.planning.probe import Probing, judge
from dataflex_core.planning.spread import limit_of, spread_scores
from dataflex_core.requests import SelectionRequest

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Candidates Int64[N], ascending, with their ``scores`` Float32[N] or [N, K].

    ``given`` are the scores that the selector chooses by: these, spread. ``exact`` Bool[N] are its own, and
    ``correlation`` is the rank correlation of the latest of them with what had been predicted: None, and all exact,
    where nothing was. ``remarks`` are lines for the user.
    """

    ids: Ids
    scores: Scores
    given: Scores
    exact: NDArray[np.bool_] | None = None
    correlation: float | None = None
    remarks: tuple[str, ...] = ()

    def part(self, candidates: Ids) -> tuple[Scores, NDArray[np.bool_] | None]:
        """What is given of some of them, and which of it is exact."""
        at = np.searchsorted(self.ids, candidates)
        return self.given[at], None if self.exact is None else self.exact[at]


class Judge:
    """Has a scoring selector score, once a decision, and remembers what it needs for the next."""

    def __init__(
        self,
        selector: ScoringSelector[Any],
        pool: int,
        *,
        probing: Probing | None = None,
        features: Features | None = None,
        spread: Spread | None = None,
        of: str = "",
    ) -> None:
        """For a run on ``pool`` samples; ``of`` says whose scores these are, and by which parameters."""
        self._selector, self._probing, self._features, self._spread = selector, probing, features, spread
        self._of, self._memory = of, Memory()
        self._times = np.zeros(pool if spread is not None else 0, dtype=np.uint32)
        self._most = 0

    def scores(
        self,
        request: SelectionRequest,
        groups: Sequence[Ids],
        wanted: Ids,
        rng: Callable[[str], np.random.Generator],
    ) -> Judged:
        """Of the candidates of all ``groups``, of each of which ``wanted`` Int64[groups] (>= 1) are chosen. Collective.

        Scoring a domain at a time would pad more, and take target gradients no less. Raises what the selector raises.
        """
        every = request.candidates.copy()  # the selector may work on its own in place
        if self._probing is None or self._features is None:
            scores, exact, correlation = self._selector.scores(request), None, None
        else:
            found = judge(
                groups,
                wanted,
                self._probing,
                exact=lambda ids: self._selector.scores(
                    request.narrowed(ids, min(request.count, len(ids)), request.rng)
                ),
                features=self._features,
                memory=self._memory,
                rng=rng("probe"),
                able=lambda ids: request.signals.target_tokens(ids) > 0,
                dealt=lambda predict, ids: _dealt(request, predict, ids),
            )
            scores, exact, correlation, self._memory = found.scores, found.exact, found.correlation, found.memory
        given, remarks = scores, tuple[str, ...]()
        if self._spread is not None:
            temperature = self._spread.temperature_at(request.progress.decision, request.progress.decisions)
            times = self._times[every].astype(np.int64)
            limits = self._limits(self._spread, every, scores, groups, wanted)
            given = spread_scores(scores, times, self._spread, temperature, rng("spread"), limits=limits)
            remarks = self._lifted(limits, self._spread.repeats)
        return Judged(
            ids=every,
            scores=scores,
            given=given,
            exact=exact,
            correlation=correlation,
            remarks=remarks,
        )

    def _limits(self, spread: Spread, every: Ids, scores: Scores, groups: Sequence[Ids], wanted: Ids) -> Ids:
        """How often each of ``every`` Int64[N] may be chosen, of each group as often as its quota takes."""
        limits = np.full(len(every), spread.repeats, dtype=np.int64)
        for group, count in zip(groups, wanted.tolist(), strict=True):
            at = np.searchsorted(every, group)
            usable = group[np.isfinite(as_table(scores)[at]).all(axis=1)]
            limits[at] = limit_of(self._times[usable].astype(np.int64), count, spread.repeats)
        return limits

    def _lifted(self, limits: Ids, repeats: int) -> tuple[str, ...]:
        """What is to be said of limits that are higher than any before."""
        most = int(limits.max(initial=repeats))
        if most <= max(self._most, repeats):
            return ()
        self._most = most
        said = f"spread.repeats: too few candidates were chosen less than {repeats} times"
        return (f"{said}, so that some are chosen {most} times (train for fewer steps, or on a larger pool)",)

    def chose(self, ids: Ids) -> None:
        """Remember a choice: each sample once, however often its interval trains on it."""
        if self._spread is not None:
            self._times[np.unique(ids)] += 1

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        chosen = np.flatnonzero(self._times)
        return {
            "of": self._of,
            "memory": self._memory.state(),
            "chosen": chosen,
            "times": self._times[chosen].astype(np.int64),
            "most": self._most,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; what others had scored says nothing of what this selector will."""
        self._memory = Memory.of(state["memory"]) if state.get("of", self._of) == self._of else Memory()
        if len(self._times):
            self._times[:] = 0
            self._times[state["chosen"]] = state["times"]
        self._most = int(state.get("most", 0))


def _dealt(request: SelectionRequest, predict: Callable[[Ids], Scores], ids: Ids) -> Scores:
    """A part on each rank, so that no rank goes by digits of its own."""
    shard = request.signals.shard(ids)
    return request.signals.gather(ids, shard, predict(shard))
