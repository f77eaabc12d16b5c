"""What a run came to, for its last lines: figures from its events, and what can be said of them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_cli.console import counted
from dataflex_core.journal import Decision, Evaluated, Event, Logged, Resume, Step
from dataflex_core.journal.figures import break_even, enrichment
from dataflex_core.journal.pace import Pace
from dataflex_core.journal.tally import Tally

_LOSS = "loss"


@dataclass(slots=True, kw_only=True)
class Closing:
    """Is given every event of a run, in order, those of before a resume too."""

    decisions: int = 0
    steps: int = 0
    samples: int = 0
    since: int | None = None
    """The step after which the run went on with other data: samples and `chosen` are of the time since then."""
    losses: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The first and the last of each loss that was logged, by its name: that of training, and evaluations'."""
    _tally: Tally = field(default_factory=Tally)
    _warmup: NDArray[np.int64] | None = None
    """What the tally had counted as the first decision was taken; None before."""
    _seconds: float = 0.0
    _first: int = 0
    _cost: float = 0.0
    _pace: Pace = field(default_factory=Pace)

    def add(self, event: Event) -> None:
        """The next event."""
        self._tally.add(event)
        self._pace.add(event)
        match event:
            case Resume() if event.domains is not None:  # domains are others, and ids those of other samples
                self.since, self.samples, self._warmup = event.step, 0, None
            case Decision() if event.decision > 0:
                self._first = self._first if self.decisions else event.step
                self.decisions += 1
                self._warmup = self._tally.counts if self._warmup is None else self._warmup
                self._seconds, self._cost = self._seconds + event.seconds, self._cost + event.cost
            case Step():
                self.steps, self.samples = event.step, self.samples + len(event.samples)
            case Logged():
                self._lost({name: value for name, value in event.training.items() if name == _LOSS})
            case Evaluated():
                self._lost({name: value for name, value in event.figures.items() if name.endswith(f"_{_LOSS}")})

    @property
    def chosen(self) -> Counter[str]:
        """Samples of each domain that steps trained on after the warm-up; empty before the first decision."""
        if self._warmup is None:
            return Counter()
        counts = self._tally.counts - self._warmup
        return Counter(dict(zip(self.pool, counts.tolist(), strict=True)))

    @property
    def unique(self) -> int:
        """Samples of the pool that were trained on at least once."""
        return round((self._tally.coverage or 0.0) * sum(self.pool.values()))

    @property
    def pool(self) -> dict[str, int]:
        """Samples of each domain; empty before the run has begun."""
        return {domain.name: domain.size for domain in self._tally.domains}

    @property
    def measured(self) -> float | None:
        """What a chosen sample had to be worth, in random ones, by the time that deciding took; None if untimed."""
        each = self._pace.step
        return None if each is None else break_even(self._seconds / each, self.steps - self._first)

    @property
    def share(self) -> float | None:
        """How much of the time of training and deciding went into decisions; None if untimed."""
        each = self._pace.step
        return None if each is None else self._seconds / (self._seconds + each * self.steps)

    @property
    def declared(self) -> float | None:
        """The same by what the selector declares, and what decisions scored; None where they scored nothing."""
        return break_even(self._cost, self.steps - self._first) if self._cost else None

    def fields(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "steps": self.steps,
            "samples": self.samples,
            "unique_samples": self.unique,
            "decisions": self.decisions,
            "losses": {name: {"first": first, "last": last} for name, (first, last) in self.losses.items()},
            "deciding_seconds": round(self._seconds, 3),
            "deciding_share": None if self.share is None else round(self.share, 4),
            "break_even": {"measured": self.measured, "declared": self.declared},
            "chosen": dict(self.chosen),
            "enrichment": enrichment(self.chosen, self.pool) if self.chosen.total() else {},
        }

    def done(self) -> str:
        """Steps, samples and losses, in one line."""
        since = "" if self.since is None else f" since step {self.since}, on other data"
        said = f"done: {counted(self.steps, 'step')}, {self.samples} samples trained on{since}, "
        said += f"{self.unique} different ones"
        told = [f"{name} {first:.3f} at first, {last:.3f} at last" for name, (first, last) in self.losses.items()]
        return "; ".join([said, *told])

    def told(self, output: str | None) -> Iterator[str]:
        """What deciding took, what it had to gain, and what was reached, a line each."""
        if not self.decisions:
            return
        share = "" if self.share is None else f", {self.share:.0%} of the time"
        yield f"{counted(self.decisions, 'decision')} in {self._seconds:.1f} s{share}"
        if self.declared is None:
            return
        worth = self.declared if self.measured is None else self.measured
        how = f"as declared; {self.measured:.1f} by the time it took" if self.measured is not None else "as declared"
        yield f"to break even a chosen sample had to be worth {self.declared:.1f} random ones, {how}"
        with_what = "" if output is None else f": dataflex report {shlex.quote(output)} --against RUN"
        if worth > 1.05:
            yield f"what one was worth is not known without a run of random to compare with{with_what}"

    def _lost(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.losses[name] = (self.losses.get(name, (value,))[0], value)
