"""A run, read back from its journal: also one that is still going, was killed, or was resumed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dataflex_core.errors import DataError
from dataflex_core.journal.events import (
    Decision,
    End,
    Evaluated,
    Event,
    Failed,
    Fallback,
    Logged,
    Notice,
    Resume,
    Start,
    Step,
    Trained,
)
from dataflex_core.journal.reader import read_journal

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as its journal, ``path``, tells it: ``events`` in order, without those that a resume has undone.

    What a killed run did after its last checkpoint, and did again when it was resumed, is here once.
    """

    path: Path
    events: tuple[Event, ...]

    def of(self, kind: type[E]) -> tuple[E, ...]:
        """The events of one class, in order."""
        return tuple(event for event in self.events if isinstance(event, kind))

    @property
    def start(self) -> Start:
        """What the run began with: strategies, data, schedule."""
        first = self.events[0]
        assert isinstance(first, Start), "open_run sees to it"
        return first

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Every plan that was made, in order; the first is the warm-up's, number 0, where there is one.

        An interval amid which the run decided anew, as it may when it is resumed, is ``until`` the step of that.
        """
        return _cut_short(self.of(Decision))

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every optimizer step, with the samples that it trained on."""
        return self.of(Step)

    @property
    def logged(self) -> tuple[Logged, ...]:
        """What was logged: losses, strategies' notes, weights, times."""
        return self.of(Logged)

    @property
    def trained(self) -> tuple[Trained, ...]:
        """Samples, tokens and losses by domain, a logging interval each."""
        return self.of(Trained)

    @property
    def evaluations(self) -> tuple[Evaluated, ...]:
        """What evaluations found."""
        return self.of(Evaluated)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user was told, `fallbacks` included."""
        return self.of(Notice)

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """What could not be done as it is best done."""
        return self.of(Fallback)

    @property
    def resumes(self) -> tuple[Resume, ...]:
        """Where the run went on from a checkpoint."""
        return self.of(Resume)

    @property
    def changed_data_at(self) -> int | None:
        """The step after which the run went on with other data, the last time; None where it never did."""
        return next((event.step for event in reversed(self.resumes) if event.domains is not None), None)

    @property
    def on_its_data(self) -> Run:
        """The run on the data that it has now: all of it, or what came since it went on with other data, the last time.

        Ids and names of domains are of one data set only so. Its `start` has the domains of that data, and no more of
        what the run began with: what became of rows, what is held out, tokens of domains.
        """
        places = (i for i, event in enumerate(self.events) if isinstance(event, Resume) and event.domains is not None)
        last = max(places, default=0)
        return replace(self, events=(_start_on(self.start, self.events[last]), *self.events[last:])) if last else self

    @property
    def end(self) -> End | Failed | None:
        """How the run ended; None where it is still going, or was killed."""
        told = (event for event in reversed(self.events) if not isinstance(event, Evaluated | Notice))
        last = next(told)
        return last if isinstance(last, End | Failed) else None

    @property
    def step(self) -> int:
        """How many optimizer steps are done."""
        return next((event.step for event in reversed(self.events) if isinstance(event, Step | Resume)), 0)

    @property
    def samples(self) -> array[int]:
        """The ids of all samples that were trained on, in the order of training: signed 64 bits, of one buffer."""
        return _ids(self.steps)

    def samples_of(self, decision: Decision) -> array[int]:
        """The ids that the interval of one of the `decisions` has trained on so far, in the order of training."""
        return _ids(step for step in self.steps if decision.step < step.step <= decision.until)


def open_run(path: Path | str) -> Run:
    """The run that left its journal in ``path``: an output folder, its ``dataflex`` folder, or a journal itself.

    Of several runs in one folder the last. Raises `DataError` where there is no journal, or none that says of what run
    it is, and as `read_journal` does.
    """
    journal = _journal_in(Path(path))
    events: list[Event] = []
    for event in read_journal(journal):
        if isinstance(event, Resume):
            events = [past for past in events if not _is_undone(past, event.step)]
        elif isinstance(event, Decision) and (again := _taken_before(events, event)) is not None:
            del events[again]
        events.append(event)
    if not events or not isinstance(events[0], Start):
        raise DataError(
            f"{journal} does not begin with a run's start", hint="the run was killed before its data loaded"
        )
    return Run(path=journal, events=tuple(events))


def _journal_in(path: Path) -> Path:
    if path.is_file():
        return path
    places = (path / "dataflex" / "journal.jsonl", path / "journal.jsonl")
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(f"{path} has no journal of a run", hint="give the output_dir of a run with a strategy")
    return found


def _is_undone(event: Event, step: int) -> bool:
    """Whether going on from after ``step`` does again what ``event`` tells."""
    match event:
        case Step() | Logged() | Trained() | Evaluated() | Fallback() | Decision() | Resume():
            return event.step > step
        case End() | Failed():
            return True
    return False


def _taken_before(events: Sequence[Event], decision: Decision) -> int | None:
    """Where a decision about the same steps stands, which one taken anew after a resume replaces."""
    for at in range(len(events) - 1, -1, -1):
        if isinstance(other := events[at], Decision):
            return at if other.step == decision.step else None
    return None


def _cut_short(decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Each until the next one was taken, where that was earlier than it was to hold."""
    ends = [made.step for made in decisions[1:]]
    cut = (made if end >= made.until else replace(made, until=end) for made, end in zip(decisions, ends, strict=False))
    return (*cut, *decisions[-1:])


def _start_on(start: Start, resume: Event) -> Start:
    """What a run began with, as if it had begun with the data that it went on with."""
    assert isinstance(resume, Resume), "the event that says so"
    unknown = None if start.mean_tokens is None else dict[str, float]()
    known = dict(resume.domains or {})
    return replace(start, domains=known, rows={}, dropped={}, cut={}, holdout={}, mean_tokens=unknown)


def _ids(steps: Iterable[Step]) -> array[int]:
    ids = array("q")
    for step in steps:
        ids.extend(step.samples)
    return ids
