"""How a rank ended: by its own account, which it leaves in a file, or by its exit code."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TypedDict

from dataflex_core.errors import DataflexError, Interrupted, RunFailed


class LeftError(TypedDict):
    """An error as a rank leaves it to the launcher, which may be on another machine."""

    message: str
    hint: str | None
    exit_code: int


def leave_error(error: DataflexError, folder: Path) -> None:
    """Write ``error`` to ``folder``, where the launcher looks for it. Called by each rank that fails, once."""
    left = LeftError(message=error.message, hint=error.hint, exit_code=error.exit_code)
    temporary = folder / f"{os.environ.get('RANK', '0')}.tmp"
    temporary.write_text(json.dumps(left), encoding="utf-8")
    temporary.rename(temporary.with_suffix(".json"))


def first_error_in(folder: Path) -> LeftError | None:
    """The first error that a rank left in ``folder``, of several at one time the lowest rank's, None where none did."""
    files = sorted(folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, int(path.stem)))
    if not files:
        return None
    left: LeftError = json.loads(files[0].read_text(encoding="utf-8"))
    return left


def as_error(left: LeftError) -> DataflexError:
    """What a rank left, to be raised in the launcher: with its message, hint and exit code."""
    error = RunFailed(left["message"], hint=left["hint"])
    error.exit_code = left["exit_code"]
    return error


def was_killed(code: int) -> bool:
    """Whether a rank was ended by somebody else than the launcher, which ends those that are left with SIGTERM."""
    return code < 0 and code != -signal.SIGTERM


def ended_silently(rank: int, code: int) -> DataflexError:
    """The error for a rank that ended and left none; a negative ``code`` is a signal's."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return RunFailed(f"rank {rank} {how}", hint="its last lines are above")


def stopped_by_signal(number: int) -> DataflexError:
    """The error for a signal that ended the run at once: Ctrl-C, or SIGTERM before the ranks had learned to heed it."""
    error = Interrupted(
        f"stopped by {signal.Signals(number).name}, without a checkpoint of this step",
        hint="dataflex run … --resume goes on from the last one, where save_strategy left any",
    )
    error.exit_code = 128 + number
    return error
