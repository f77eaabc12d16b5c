"""What a person sees of a run under way: a line per decision, and a closing summary."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from dataflex_cli import console
from dataflex_cli.closing import Closing
from dataflex_cli.console import say
from dataflex_cli.header import show_plan
from dataflex_core.journal import Decision, Event, Notice, Resume, Start, to_record


def _how_scored(event: Decision) -> str:
    """How many scores are predicted, and how well, where some may be."""
    if event.exact is None:
        return ""
    if event.exact == event.judged:
        return "; all are scored: the prediction was too poor"
    how = "" if event.correlation is None else f" at a rank correlation of {event.correlation:.2f}"
    return f"; {event.exact} of {event.judged} scored, the rest predicted{how}"


@dataclass(slots=True, kw_only=True)
class Narrator:
    """Told every event of the run on rank 0; prints those a person wants to see."""

    output_dir: str | None = None
    """Where the run writes, to say how to look into it."""
    _start: Start | None = None
    _closing: Closing = field(default_factory=Closing)
    _said: set[str] = field(default_factory=set)

    def __call__(self, event: Event, *, past: bool) -> None:
        self._closing.add(event)
        match event:
            case Start():
                self._start = event
                show_plan(event)
            case Notice() if not past and event.text not in self._said:
                self._said.add(event.text)
                say(event.text, level="warning", event=event.event, fields=to_record(event))
            case Decision() if not past:
                self._tell(event)
            case Resume():
                said = "; ".join([f"going on from {event.checkpoint}, after step {event.step}", *event.changed])
                say(said, event=event.event, fields=to_record(event))

    def _tell(self, event: Decision) -> None:
        assert self._start is not None
        total = sum(event.chosen.values())
        shares = ", ".join(f"{name} {count / total:.0%}" for name, count in event.chosen.items())
        steps = f"steps {event.step + 1} to {event.until}"
        if event.decision == 0:
            said = f"warm-up, {steps}: {shares}"
        else:
            of = f"decision {event.decision} of {self._start.decisions}"
            said = f"{of}, {steps}: {shares}  ({event.seconds:.1f} s){_how_scored(event)}"
        say(said, event=event.event, fields=to_record(event))
        for short in event.shortages:
            who = f"domain {short.domain}" if short.domain else "the pool"
            said = f"  {who} had {short.had} of {short.wanted} samples wanted: {short.action}"
            say(said, level="warning", event="shortage")

    def summary(self) -> None:
        """After the run: what was trained on, and how the choice differs from the pool."""
        if self._start is None:
            return
        say(self._closing.done(), event="summary", fields=self._closing.fields())
        if self._closing.decisions and not console.voice.as_json and not console.voice.quiet:
            self._table()
        for line in self._closing.told(self.output_dir):
            say(line)
        if self.output_dir is not None:
            fields = {"output": self.output_dir}
            say(
                f"look into it: dataflex report {shlex.quote(self.output_dir)}",
                level="result",
                event="end",
                fields=fields,
            )

    def _table(self) -> None:
        assert self._start is not None
        from rich.table import Table

        from dataflex_cli.tables import print_table

        pool, chosen = self._closing.pool, self._closing.chosen
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("domain")
        for column in ("pool", "% of pool", "chosen", "% of chosen", "ratio"):
            table.add_column(column, justify="right")
        for name, size in pool.items():
            share, taken = size / sum(pool.values()), chosen[name] / max(chosen.total(), 1)
            ratio = f"{taken / share:.2f}x" if share else "-"
            table.add_row(name, str(size), f"{share:.1%}", str(chosen[name]), f"{taken:.1%}", ratio)
        print_table(table)
        if self._closing.samples > chosen.total():
            say(f"the {self._closing.samples - chosen.total()} samples of the warm-up are not counted as chosen")
