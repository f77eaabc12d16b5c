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

State = Mapping[str, str]
"""Digests of what results depend on, by name: data, model, configuration, seed, code."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Results of samples ``ids`` Int64[n], in their order.

    ``values`` hold one row per sample, or, where ``lengths`` Int64[n, C] are given, C runs of rows per sample.
    """

    ids: NDArray[np.int64]
    values: NDArray[np.generic]
    lengths: NDArray[np.int64] | None = None

    @staticmethod
    def joined(parts: list[Part]) -> Part:
        """All of ``parts``, at least one, in one."""
        ragged = parts[0].lengths is not None
        return Part(
            ids=np.concatenate([part.ids for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts if part.lengths is not None]) if ragged else None,
        )

    def taken(self, index: NDArray[np.int64]) -> Part:
        """The results of samples ``ids[index]``, in that order."""
        if self.lengths is None:
            return Part(ids=self.ids[index], values=self.values[index])
        totals = self.lengths.sum(axis=1)
        starts = (np.cumsum(totals) - totals)[index]
        wanted = totals[index]
        rows = np.arange(wanted.sum()) + np.repeat(starts - (np.cumsum(wanted) - wanted), wanted)
        return Part(ids=self.ids[index], values=self.values[rows], lengths=self.lengths[index])


class PartialStore:
    """The folder of partial results of one run: ``folder/STEP-REQUEST-STATE-RANK-NUMBER.safetensors``."""

    def __init__(self, folder: Path, *, rank: int, seconds: float, notice: Callable[[str], None]) -> None:
        self.folder = folder
        self.rank = rank
        self.seconds = seconds
        self.notice = notice
        self._step: int | None = None

    def begin(self, step: int) -> None:
        """A decision at ``step`` begins, on every rank: what the one before it left has served."""
        if self._step is not None and self._step != step and self.rank == 0:
            for path in self.folder.glob(f"{self._step:08d}-*"):
                path.unlink(missing_ok=True)
        self._step = step

    def clear(self) -> None:
        """The run is done."""
        if self.rank == 0:
            shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, what: str, request: Mapping[str, object], state: Callable[[], State]) -> OpenPass:
        """A pass begins; ``state`` is worked out only when it is needed: it reads the whole data and model."""
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
    """One pass under way: what earlier ones left of it, and what is to be kept of it."""

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
        """What the results depend on, worked out once."""
        if self._state is None:
            self._state = self.compute()
        return self._state

    def add(self, part: Part) -> None:
        """Keep ``part``; write what has come together when the interval is over."""
        self._pending.append(part)
        if time.monotonic() - self._since >= self.store.seconds:
            self._write()

    def close(self) -> None:
        """The pass is complete. A long one is written to its end: the decision may take another pass yet."""
        if self._wrote:
            self.keep()

    def keep(self) -> None:
        """Write all there is: the pass goes on in another process."""
        if self._pending:
            self._write()

    def _write(self) -> None:
        part = Part.joined(self._pending)
        arrays: dict[str, NDArray[np.generic]] = {"ids": part.ids, "values": part.values}
        if part.lengths is not None:
            arrays["lengths"] = part.lengths
        self.store.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.store.folder / f"{self.prefix}-{self.store.rank}.tmp"
        save_file(arrays, temporary, metadata={"what": self.what, "state": json.dumps(dict(self.state()))})
        os.replace(temporary, self._free_name())
        self._pending.clear()
        self._wrote = True
        self._since = time.monotonic()

    def _free_name(self) -> Path:
        key = digest_of_text(json.dumps(dict(self.state()), sort_keys=True))[:12]
        names = (f"{self.prefix}-{key}-{self.store.rank}-{number:05d}.safetensors" for number in itertools.count())
        return next(path for name in names if not (path := self.store.folder / name).exists())
