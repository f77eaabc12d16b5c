"""The journal: one append-only JSON-lines file of everything a run decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

Report = Callable[[Mapping[str, Any]], None]
"""Told every event on rank 0, as it is journalled."""


class Journal:
    """Writes events to ``folder/journal.jsonl`` on the rank that owns it, a flushed line each, and reports them.

    ``run`` names the run, whatever folders and processes it is continued in: it stands in the ``start``.

    An event is a JSON object with the key ``event``: ``start``, ``resume``, ``notice``, ``decision``, ``step`` or
    ``end``. A journal that an earlier run left is kept, renamed to ``journal-1.jsonl`` and so on.
    """

    def __init__(self, folder: Path, *, owner: bool, report: Report) -> None:
        self.path = folder / "journal.jsonl"
        self.run = uuid4().hex
        self._owner = owner
        self._report = report
        self._opened = False

    def write(self, event: str, **details: Any) -> None:
        """Append one event. Does nothing on the other ranks."""
        if not self._owner:
            return
        record = {"event": event, **details}
        if not self._opened:
            self._open()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
        self._report(record)

    def start(self, **details: Any) -> None:
        """The run begins."""
        self.write("start", run=self.run, **details)

    def size(self) -> int:
        """Bytes written so far; 0 on the other ranks."""
        return self.path.stat().st_size if self._owner and self._opened else 0

    def go_on(self, source: Path, size: int, **details: Any) -> None:
        """Continue from the first ``size`` bytes of ``source``, which may be this very journal, and say ``resume``.

        What a killed run wrote after its checkpoint is dropped: it is done again. Past events are reported anew, with
        ``past=True``.
        """
        if not self._owner:
            return
        kept = source.read_bytes()[:size] if source.is_file() else b""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_bytes(kept)
        if source != self.path:
            self._move_away()
        temporary.replace(self.path)
        self._opened = True
        self.run = run_of(self.path) or self.run
        for event in read_journal(self.path):
            self._report({**event, "past": True})
        self.write("resume", **details)

    def notice(self, text: str) -> None:
        """Something the user should know, once."""
        self.write("notice", text=text)

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


def run_of(path: Path) -> str | None:
    """The run that a journal is of, or None where it was killed before it said so."""
    first = next(read_journal(path), {})
    return first.get("run")


def journal_of(folder: Path, run: str) -> Path:
    """The journal of ``run``, also where later runs in the same folder have moved it out of their way."""
    found = (path for path in sorted(folder.glob("journal*.jsonl")) if run_of(path) == run)
    return next(found, folder / "journal.jsonl")


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a journal, in order; a torn last line, as a killed run leaves it, is passed over."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
