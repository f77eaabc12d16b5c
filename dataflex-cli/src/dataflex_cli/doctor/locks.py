"""Locks that a killed build of a torch or DeepSpeed extension has left: the next run waits for them for ever."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from dataflex_cli.doctor.check import Check, State

MINUTES = 10
"""How long a build may take."""


def extensions_folder(env: Mapping[str, str], home: Path) -> Path:
    """Where torch builds extensions, DeepSpeed's too."""
    if folder := env.get("TORCH_EXTENSIONS_DIR"):
        return Path(folder)
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "torch_extensions"
    return Path(env.get("XDG_CACHE_HOME") or home / ".cache") / "torch_extensions"


def lock_checks(folder: Path, *, processes: Path = Path("/proc")) -> Iterator[Check]:
    """A problem for each lock that is old and that no process holds open; one line where there is none."""
    stale = [lock for lock in _locks(folder) if _is_old(lock) and not _is_held(lock, processes)]
    for lock in stale:
        detail = f"{lock} is older than {MINUTES} minutes, and no process holds it: runs wait for it for ever"
        remedy = f"rm {shlex.quote(str(lock))}"
        yield Check(name="extension lock", state=State.PROBLEM, detail=detail, remedy=remedy)
    if not stale:
        yield Check(name="extension lock", state=State.OK, detail=f"none is stale in {folder}")


def _locks(folder: Path) -> list[Path]:
    # Below the folder by extension where the variable is set, else by Python and CUDA and then by extension.
    return sorted({*folder.glob("*/lock"), *folder.glob("*/*/lock")})


def _is_old(lock: Path) -> bool:
    try:
        return time.time() - lock.stat().st_mtime > MINUTES * 60
    except FileNotFoundError:
        return False


def _is_held(lock: Path, processes: Path) -> bool:
    for descriptor in processes.glob("[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor) == str(lock.resolve()):
                return True
        except OSError:
            continue
    return False
