"""The file of texts of a run that is going on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from dataflex_core.journal.texts import FOLDER, Shown, Text, There, Weighed, is_before, there_in
from dataflex_core.places import whole


class TextFile:
    """Appends to ``folder/texts/RUN.jsonl`` what is not there yet. A file that cannot be written is told, once.

    A run that goes on goes on with its file: a sample's text is there once, and a decision that is taken again is
    shown as it was taken last, also where nothing is shown of it then. ``source`` is the folder that it goes on from.
    """

    def __init__(self, folder: Path, run: str, notice: Callable[[str], None], *, source: Path | None = None) -> None:
        self.path = folder / FOLDER / f"{run}.jsonl"
        self._notice = notice
        self._broken = False
        self._there = There()
        self._torn = False
        if source is not None:
            self._copy(source / FOLDER / self.path.name)
        with suppress(OSError):
            self._torn = not self.path.read_bytes().endswith(b"\n")
            self._there = there_in(self.path)

    def go_on(self, since: int | None, *, other: bool) -> None:
        """The run goes on with the data that it has had since step ``since``, None: from the beginning.

        It is ``other`` data than it had until now, or else it may be that of before it had other data: what is in the
        file of any other is read no longer.
        """
        if other or since != self._there.since:
            self._append([{"since": since}])

    def has(self, sample: int, target: str = "") -> bool:
        """Whether the text of a sample is there."""
        return (target, sample) in self._there.texts

    def had(self, decision: int, step: int) -> int:
        """Samples of the pool that are there for decisions before one that is taken after step ``step``, and weights.

        The same where the run has gone on from before it, and takes it again.
        """
        before = (some for other, some in self._there.shown.items() if is_before(other, (decision, step)))
        shown = {one.sample for some in before for one in some}
        return len(shown | {one.sample for one in self._there.weighed.values() if one.step <= step})

    def had_weighed(self, step: int) -> int:
        """Samples there that steps before ``step`` weighed by token."""
        return sum(one.step < step for one in self._there.weighed.values())

    def write(
        self,
        texts: Sequence[Text],
        shown: Sequence[Shown] = (),
        weighed: Sequence[Weighed] = (),
        *,
        decided: int | None = None,
        after: int | None = None,
    ) -> None:
        """Append texts that the file lacks, what is shown, and what was weighed.

        ``decided`` is a decision that was taken ``after`` so many steps: of it nothing but ``shown`` is shown from here
        on, and nothing of what was shown of later ones.
        """
        records: list[dict[str, Any]] = [{"text": asdict(t)} for t in texts if not self.has(t.sample, t.target)]
        records += [] if decided is None else [{"decided": decided, "after": after}]
        records += [{"shown": asdict(one)} for one in shown]
        for step, of_step in groupby(weighed, key=lambda one: one.step):
            records += [{"step": step}, *({"weighed": asdict(one)} for one in of_step)]
        self._append(records)

    def _copy(self, source: Path) -> None:
        if not source.is_file() or source.resolve() == self.path.resolve():
            return
        try:
            with whole(self.path) as temporary:
                shutil.copyfile(source, temporary)
        except OSError as error:
            self._notice(f"{source} could not be copied: {error.strerror}; the report will lack texts of before")

    def _append(self, records: Sequence[dict[str, Any]]) -> None:
        if self._broken:
            return
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        text = "".join(line + "\n" for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(("\n" if self._torn else "").encode() + text.encode("utf-8", "replace"))
        except OSError as error:
            self._broken = True
            self._notice(f"{self.path} could not be written: {error.strerror}; the report will lack texts")
            return
        self._torn = False
        for line in lines:  # as they will be read
            self._there = self._there.then(json.loads(line))
