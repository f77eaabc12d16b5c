"""How a rank ended: by its own account, which it leaves in a file, or by its exit code."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from dataflex_core.errors import DataflexError, Interrupted, RunFailed

Told = Mapping[str, object]


def tell(error: DataflexError, folder: Path) -> None:
    """Leave ``error`` where the launcher finds it."""
    told = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
    temporary = folder / f"{os.environ.get('RANK', '0')}.tmp"
    temporary.write_text(json.dumps(told), encoding="utf-8")
    temporary.rename(temporary.with_suffix(".json"))


def told_in(folder: Path) -> Told | None:
    """The first error that a rank left in ``folder``."""
    told = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(told[0].read_text(encoding="utf-8")) if told else None


def as_error(told: Told) -> DataflexError:
    """What a rank told, to be raised in the launcher."""
    error = RunFailed(str(told["message"]), hint=None if told["hint"] is None else str(told["hint"]))
    error.exit_code = int(str(told["exit_code"]))
    return error


def was_killed(code: int) -> bool:
    """By somebody else than the launcher, which ends the ranks that are left with SIGTERM."""
    return code < 0 and code != -signal.SIGTERM


def without_a_word(rank: int, code: int) -> DataflexError:
    """A rank that ended and told nothing."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return RunFailed(f"rank {rank} {how}", hint="its last lines are above")


def stopped_by(number: int) -> DataflexError:
    """A signal that ended the run at once: Ctrl-C, or SIGTERM before the ranks had learned to heed it."""
    error = Interrupted(
        f"stopped by {signal.Signals(number).name}, without a checkpoint of this step",
        hint="dataflex run … --resume goes on from the last one, where save_strategy left any",
    )
    error.exit_code = 128 + number
    return error
