"""Partial results of long passes, on disk, so that a killed pass repeats no more than its last minute.

A file holds the results of some batches and names what they are results of: the request (which signal, with which
arguments) and the state that it was asked of (data, model, configuration, seed, code). A later run that comes to the
same step with the same request and state takes them; anything else is left alone and said.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dataflex_core.scoring.fingerprint import digest_of_text
from dataflex_core.scoring.results import Part
from dataflex_core.wording import one_line

State = Mapping[str, str]
"""Digests of what results depend on, by name: data, model, configuration, seed, code."""


class PartialStore:
    """The folder of partial results of one run: ``folder/STEP-REQUEST-STATE-RANK-NUMBER.safetensors``.

    A pass is written every ``seconds``; one that took less is not, unless ``complete``.
    """

    def __init__(
        self, folder: Path, *, rank: int, seconds: float, notice: Callable[[str], None], complete: bool = False
    ) -> None:
        self.folder = folder
        self.rank = rank
        self.seconds = seconds
        self.complete = complete
        self.notice = notice
        self.writes = True
        """Until a file could not be written: partial results save time, and are no reason to end a run."""
        self._step: int | None = None

    def begin(self, step: int) -> None:
        """Take results of a decision at ``step`` from now on; called on every rank.

        Rank 0 removes the files of the step that was set before: its decision is taken.
        """
        if self._step is not None and self._step != step and self.rank == 0:
            for path in self.folder.glob(f"{self._step:08d}-*"):
                path.unlink(missing_ok=True)
        self._step = step

    def clear(self) -> None:
        """Remove the folder, on rank 0; called on every rank when the run is done."""
        if self.rank == 0:
            shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, what: str, request: Mapping[str, object], state: Callable[[], State]) -> OpenPass:
        """A pass over ``what``, with what earlier passes of the same request and state left on disk.

        ``request`` is of JSON values. ``state`` is called only where files are read or written: it reads the whole
        data and model. Torn files and those of another state are ignored and said.
        """
        prefix = f"{self._step or 0:08d}-{digest_of_text(what, json.dumps(request, sort_keys=True))[:12]}"
        opened = OpenPass(store=self, what=what, prefix=prefix, compute=state)
        opened.found = self._read(opened)
        return opened

    def _read(self, opened: OpenPass) -> list[Part]:
        parts: list[Part] = []
        torn = 0
        other: set[str] = set()
        for path in sorted(self.folder.glob(f"{opened.prefix}-*.safetensors")):
            try:
                with safe_open(path, framework="np") as file:
                    was = json.loads(file.metadata()["state"])
                    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
                    part = Part(ids=arrays["ids"], values=arrays["values"], lengths=arrays.get("lengths"))
            except (SafetensorError, OSError, ValueError, KeyError, TypeError):
                torn += 1
                continue
            differing = {name for name, digest in opened.state().items() if was.get(name) != digest}
            other |= differing
            if not differing:
                parts.append(part)
        if torn:
            self.notice(f"{torn} torn file{'s' * (torn > 1)} of partial {opened.what} ignored")
        if other:
            self.notice(f"partial {opened.what} in {self.folder} ignored: other {', '.join(sorted(other))}")
        if parts:
            count = sum(len(part.ids) for part in parts)
            self.notice(f"{opened.what}: {count} samples' results of a pass that was cut short are used")
        return parts


@dataclass(slots=True, kw_only=True, eq=False)
class OpenPass:
    """One pass under way: ``found`` is what earlier ones left of it; what it computes itself is added."""

    store: PartialStore
    what: str
    prefix: str
    compute: Callable[[], State]
    found: list[Part] = field(default_factory=list)
    _state: State | None = None
    _pending: list[Part] = field(default_factory=list)
    _wrote: bool = False
    _since: float = field(default_factory=time.monotonic)

    def state(self) -> State:
        """Digests of what the results depend on, worked out once."""
        if self._state is None:
            self._state = self.compute()
        return self._state

    def add(self, part: Part) -> None:
        """Add ``part``; write what was added since the last file where that is longer ago than ``store.seconds``."""
        if not self.store.writes:
            return
        self._pending.append(part)
        if self.is_due():
            self._write()

    def is_due(self) -> bool:
        """Whether the last file, or the pass's begin, is so long ago that what there is should be written."""
        return time.monotonic() - self._since >= self.store.seconds

    def close(self) -> None:
        """End a complete pass: write what is not yet written, if any of it is."""
        # The decision may take another pass yet, amid which the run is killed.
        if self._wrote or self.store.complete:
            self.keep()

    def keep(self) -> None:
        """Write what is not yet written: called where the pass is to go on in another process."""
        if self._pending:
            self._write()

    def _write(self) -> None:
        try:
            self._save()
        except (OSError, SafetensorError) as error:
            self.store.writes = False
            self.store.notice(
                f"partial {self.what} cannot be written to {self.store.folder}, so that a pass that is killed is "
                f"repeated whole: {one_line(error)}"
            )
        self._pending.clear()
        self._since = time.monotonic()

    def _save(self) -> None:
        part = Part.joined(self._pending)
        arrays: dict[str, NDArray[np.generic]] = {"ids": part.ids, "values": part.values}
        if part.lengths is not None:
            arrays["lengths"] = part.lengths
        self.store.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.store.folder / f"{self.prefix}-{self.store.rank}.tmp"
        try:
            save_file(arrays, temporary, metadata={"what": self.what, "state": json.dumps(dict(self.state()))})
            os.replace(temporary, self._free_name())
        finally:
            temporary.unlink(missing_ok=True)
        self._wrote = True

    def _free_name(self) -> Path:
        key = digest_of_text(json.dumps(dict(self.state()), sort_keys=True))[:12]
        names = (f"{self.prefix}-{key}-{self.store.rank}-{number:05d}.safetensors" for number in itertools.count())
        return next(path for name in names if not (path := self.store.folder / name).exists())
