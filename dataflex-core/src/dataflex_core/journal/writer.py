"""The journal: one append-only JSON-lines file of everything a run decides."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from dataflex_core.journal.codec import to_record
from dataflex_core.journal.events import Event, Notice, Resume, Start
from dataflex_core.journal.reader import events_in


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

    def write(self, event: Event) -> None:
        """Append one event. Does nothing on the other ranks."""
        if not self._owner:
            return
        if not self._opened:
            self._open()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(to_record(event), allow_nan=False) + "\n")
        self._report(event, past=False)

    def notice(self, text: str) -> None:
        """Something the user should know, once."""
        self.write(Notice(text=text))

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
        past = list(events_in(StringIO(kept.decode()), source))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_bytes(kept)
        if source != self.path:
            self._move_away()
        temporary.replace(self.path)
        self._opened = True
        if past and isinstance(past[0], Start):
            self.run = past[0].run
        for event in past:
            self._report(event, past=True)
        self.write(resume)

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
