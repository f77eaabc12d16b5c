"""The journal: one append-only JSON-lines file of everything a run decides."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from dataflex_core.errors import DataflexError, RunFailed
from dataflex_core.journal.codec import to_record
from dataflex_core.journal.events import Event, Failed, Fallback, Notice, Resume, Start, Step
from dataflex_core.journal.reader import events_in
from dataflex_core.wording import one_line


class Report(Protocol):
    """Told every event on rank 0, as it is journalled.

    ``past`` is true for what the run did before it was resumed: told anew, in order, before the `Resume`.
    """

    def __call__(self, event: Event, *, past: bool) -> None: ...


class Journal:
    """Writes events to ``folder/journal.jsonl`` on the rank that owns it, a flushed line each, and reports them.

    ``run`` names the run, whatever folders and processes it is continued in. A journal that an earlier run left is
    kept, renamed to ``journal-1.jsonl`` and so on.
    """

    def __init__(self, folder: Path, *, owner: bool, report: Report) -> None:
        self.path = folder / "journal.jsonl"
        self.run = uuid4().hex
        self._owner = owner
        self._report = report
        self._opened = False
        self._step = 0

    def write(self, event: Event) -> None:
        """Append one event. Does nothing on the other ranks.

        Raises `RunFailed` where the file cannot be written; then it ends with the event before.
        """
        if not self._owner:
            return
        if not self._opened:
            self._open()
        self._append(json.dumps(to_record(event), allow_nan=False) + "\n")
        if isinstance(event, Step):
            self._step = event.step
        self._report(event, past=False)

    def end(self, *last: Event) -> None:
        """Append the last event, or events; where one cannot be written that is reported, and no failure.

        A `Failed` of a run that has not opened its journal is dropped.
        """
        if isinstance(last[-1], Failed) and not self._opened:
            return
        try:
            for event in last:
                self.write(event)
        except RunFailed as wrong:
            self._report(Notice(text=f"{wrong.message}: it lacks its last line, and nothing else"), past=False)

    def fail(self, error: BaseException) -> None:
        """Append what ended the run, as `end` does: an error with a remedy, a signal, or any other error."""
        if isinstance(error, DataflexError):
            text, hint, code = error.message, error.hint, error.exit_code
        elif isinstance(error, KeyboardInterrupt):
            number = getattr(error, "number", signal.SIGINT)
            text, hint, code = f"stopped by {signal.Signals(number).name}", None, 128 + number
        else:
            text, hint, code = one_line(error), None, 1
        self.end(Failed(step=self._step, error=text, hint=hint, kind=type(error).__name__, exit_code=code))

    def notice(self, text: str) -> None:
        """Something the user should know, once."""
        self.write(Notice(text=text))

    def fallback(self, kind: str, text: str) -> None:
        """Something is not done as it is best done: one of the kinds of `Fallback`, and why."""
        self.write(Fallback(step=self._step, kind=kind, text=text))

    def size(self) -> int:
        """Bytes written so far; 0 on the other ranks."""
        return self.path.stat().st_size if self._owner and self._opened else 0

    def go_on(self, source: Path, size: int, resume: Resume) -> None:
        """Continue from the first ``size`` bytes of ``source``, which may be this very journal, and say ``resume``.

        What a killed run wrote after its checkpoint is dropped: it is done again. Past events are reported anew. Does
        nothing on the other ranks. Raises `DataError` where ``source`` is no journal that this version reads.
        """
        if not self._owner:
            return
        kept = source.read_bytes()[:size] if source.is_file() else b""
        past = list(events_in(BytesIO(kept), source))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_bytes(kept)
        if source != self.path:
            self._move_away()
        temporary.replace(self.path)
        self._opened = True
        if past and isinstance(past[0], Start):
            self.run = past[0].run
        self._step = resume.step
        for event in past:
            self._report(event, past=True)
        self.write(resume)

    def _append(self, line: str) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)  # part of a line may have found room
            raise RunFailed(
                f"{self.path} could not be written: {error.strerror or one_line(error)}",
                hint="make room; dataflex run … --resume goes on from the last checkpoint",
            ) from error

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._move_away()
        self._opened = True

    def _move_away(self) -> None:
        if self.path.exists():
            number = 1
            while (kept := self.path.with_name(f"journal-{number}.jsonl")).exists():
                number += 1
            self.path.rename(kept)
