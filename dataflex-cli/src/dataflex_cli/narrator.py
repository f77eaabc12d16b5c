"""What a person sees of a run under way: a line per decision, and a closing summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dataflex_cli.console import counted, say
from dataflex_cli.header import show_plan
from dataflex_core.journal import Decision, Event, Notice, Resume, Start, Step


def _how_scored(event: Decision) -> str:
    """How many scores are predicted, and how well, where some may be."""
    if event.exact is None:
        return ""
    if event.exact == event.judged:
        return "; all are scored: the prediction was too poor"
    return (
        f"; {event.exact} of {event.judged} scored, the rest predicted at a rank correlation of {event.correlation:.2f}"
    )


@dataclass(slots=True, kw_only=True)
class Narrator:
    """Told every event of the run on rank 0; prints those a person wants to see."""

    output_dir: str | None = None
    """Where the run writes, to say how to look into it."""
    _start: Start | None = None
    _chosen: Counter[str] = field(default_factory=Counter)
    _decisions: int = 0
    _seconds: float = 0.0
    _steps: int = 0
    _samples: int = 0

    def __call__(self, event: Event, *, past: bool) -> None:
        match event:
            case Start():
                self._start = event
                show_plan(event)
            case Notice() if not past:
                say(event.text)
            case Decision():
                self._decided(event, past)
            case Resume():
                say(f"going on from {event.checkpoint}, after step {event.step}")
            case Step():
                self._steps = event.step
                self._samples += len(event.samples)

    def _decided(self, event: Decision, past: bool) -> None:
        if event.decision > 0:
            self._decisions += 1
            self._seconds += event.seconds
            self._chosen.update(event.chosen)
        if not past:
            self._tell(event)

    def _tell(self, event: Decision) -> None:
        assert self._start is not None
        total = sum(event.chosen.values())
        shares = ", ".join(f"{name} {count / total:.0%}" for name, count in event.chosen.items())
        steps = f"steps {event.step + 1} to {event.until}"
        if event.decision == 0:
            say(f"warm-up, {steps}: {shares}")
        else:
            of = f"decision {event.decision} of {self._start.decisions}"
            say(f"{of}, {steps}: {shares}  ({event.seconds:.1f} s){_how_scored(event)}")
        for short in event.shortages:
            who = f"domain {short.domain}" if short.domain else "the pool"
            say(f"  {who} had {short.had} of {short.wanted} samples wanted: {short.action}")

    def summary(self) -> None:
        """After the run: what was trained on, and how the choice differs from the pool."""
        if self._start is None:
            return
        self._table()
        if self.output_dir is not None:
            say(f"look into it: dataflex report {self.output_dir}")

    def _table(self) -> None:
        assert self._start is not None
        from rich.table import Table

        from dataflex_cli.tables import print_table

        took = f"{counted(self._decisions, 'decision')} in {self._seconds:.1f} s"
        say(f"done: {counted(self._steps, 'step')}, {self._samples} samples trained on, {took}")
        if not self._decisions:
            return
        pool = self._start.domains
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("domain")
        for column in ("pool", "% of pool", "chosen", "% of chosen", "ratio"):
            table.add_column(column, justify="right")
        for name, size in pool.items():
            share, taken = size / sum(pool.values()), self._chosen[name] / max(self._chosen.total(), 1)
            ratio = f"{taken / share:.2f}x" if share else "-"
            table.add_row(name, str(size), f"{share:.1%}", str(self._chosen[name]), f"{taken:.1%}", ratio)
        print_table(table)
        if self._samples > self._chosen.total():
            say(f"the {self._samples - self._chosen.total()} samples of the warm-up are not counted as chosen")
