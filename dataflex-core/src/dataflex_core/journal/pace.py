"""How long a run's training steps take, by its logs."""

from __future__ import annotations

from dataclasses import dataclass

from dataflex_core.journal.events import Event, Logged, Resume


@dataclass(slots=True, kw_only=True)
class Pace:
    """How many ``steps`` were timed, and the ``seconds`` that they took: no decision, evaluation or checkpoint.

    Is given every event of a run, in order. The steps after the last log nobody has timed, nor those between the last
    log of a process and its end.
    """

    steps: int = 0
    seconds: float = 0.0
    _since: int = 0

    def add(self, event: Event) -> None:
        """The next event."""
        match event:
            case Resume():
                self._since = event.step
            case Logged():
                if event.seconds:  # earliest journals have none
                    self.steps += event.step - self._since
                    self.seconds += event.seconds - event.deciding - event.paused
                self._since = event.step

    @property
    def step(self) -> float | None:
        """The seconds of a step, on the mean; None where none was timed."""
        return self.seconds / self.steps if self.steps > 0 and self.seconds > 0 else None
