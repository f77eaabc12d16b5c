"""What a run has come to so far, from its events in order, as the figures that trackers show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dataflex_core.domains import Domain, count_by_domain
from dataflex_core.journal.events import Decision, Event, Logged, Resume, Start, Step, Trained
from dataflex_core.journal.figures import epochs, finite, shares


class Tally:
    """Is given every event of a run, in order, those of before a resume too; counts what was trained on.

    Where a run goes on with other data, it counts that alone. Until it is given a `Start` all is empty.
    """

    def __init__(self) -> None:
        self.start: Start | None = None
        """With the strategies that the run has now."""
        self.since: int | None = None
        """The step after which the run went on with other data, the last time; None where it never did."""
        self.domains: tuple[Domain, ...] = ()
        self.counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        """Samples trained on, of each domain, those that came again as well."""
        self._covered = 0
        self._was_trained: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._decision: Decision | None = None
        self._trained: Trained | None = None
        self._logged: Logged | None = None
        self._figures: dict[str, float] = {}

    def add(self, event: Event) -> None:
        """The next event of the run."""
        match event:
            case Start():
                self.start = event
                self._begin(event.domains)
            case Resume():
                if self.start is not None and event.strategies is not None:
                    self.start = replace(self.start, strategies=event.strategies)
                if event.domains is not None:
                    self.since = event.step
                    self._begin(event.domains)
            case Step():
                self._count(np.array(event.samples, dtype=np.int64))
            case Decision():
                self._decision = event
            case Trained():
                self._trained = event
            case Logged():
                self._logged = event
                self._figures = dict(self._told()) if self.start is not None else {}
                self._decision = self._trained = None

    @property
    def coverage(self) -> float | None:
        """The share of the pool that was trained on at least once; None of an empty one."""
        return self._covered / len(self._was_trained) if len(self._was_trained) else None

    def figures(self) -> dict[str, float]:
        """What there is to show of the time between the last two logs, by the names that trackers show.

        Of a decision where one was taken; empty before the first log.
        """
        return dict(self._figures)

    def _begin(self, domains: Mapping[str, int]) -> None:
        self.domains = domains_of(domains)
        self.counts, self._covered = np.zeros(len(self.domains), dtype=np.int64), 0
        # Zeros take no memory until they are written.
        self._was_trained = np.zeros(sum(domains.values()), dtype=np.bool_)

    def _count(self, ids: NDArray[np.int64]) -> None:
        self.counts = self.counts + count_by_domain(self.domains, ids)
        fresh = np.unique(ids)
        fresh = fresh[~self._was_trained[fresh]]
        self._was_trained[fresh] = True
        self._covered += len(fresh)

    def _told(self) -> Iterator[tuple[str, float]]:
        assert self.start is not None, "there is nothing to tell before"
        if self._trained is not None:
            yield from _of_training(self._trained, planned=is_planned(self.start))
        counts = {domain.name: int(count) for domain, count in zip(self.domains, self.counts, strict=True)}
        seen = epochs(counts, {domain.name: domain.size for domain in self.domains})
        yield from _named("seen", seen)
        if self._decision is not None and self._decision.decision > 0:
            yield from _of_decision(self._decision)
        if self._logged is not None:
            yield from _of_log(self._logged)
        yield from finite({"dataflex/coverage": self.coverage}).items()


def domains_of(sizes: Mapping[str, int]) -> tuple[Domain, ...]:
    """The domains of these sizes, in the order of their samples' ids."""
    found, position = [], 0
    for name, size in sizes.items():
        found.append(Domain(name=name, start=position, size=size))
        position += size
    return tuple(found)


def is_planned(start: Start) -> bool:
    """Whether a selector or mixer decided the order of samples, and not LLaMA-Factory."""
    return any(fact.kind != "weighter" for fact in start.strategies)


def _of_training(event: Trained, *, planned: bool) -> Iterator[tuple[str, float]]:
    if planned:
        yield from _named("share", shares(event.samples))
        yield from _named("share_tokens", shares(event.tokens))
    means = {
        name: None if total is None or not event.tokens[name] else total / event.tokens[name]
        for name, total in (event.losses or {}).items()
    }
    yield from _named("loss", finite(means))
    yield from _named("share_weight", shares(finite(event.weights or {})))


def _of_decision(event: Decision) -> Iterator[tuple[str, float]]:
    yield from _named("share_wanted", event.proportions or {})
    told = {"overlap": event.overlap}
    if event.scores is not None:
        told |= {
            "score/mean": event.scores.mean,
            "score/spread": event.scores.spread,
            "score/nan": event.scores.lost,
            "score/length_correlation": event.scores.length_correlation,
        }
    yield from finite({f"dataflex/{name}": figure for name, figure in told.items()}).items()


def _of_log(event: Logged) -> Iterator[tuple[str, float]]:
    if event.seconds > 0:
        yield "dataflex/deciding", event.deciding / event.seconds
    if event.weights is not None:
        told = {"mean": event.weights.mean, "spread": event.weights.spread, "nan": event.weights.lost}
        yield from _named("weight", finite(told))


def _named(what: str, figures: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    return ((f"dataflex/{what}/{name}", figure) for name, figure in figures.items())
