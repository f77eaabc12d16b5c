"""Ctrl-C is Ctrl-C, also where somebody else's code has caught it and raises something else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dataflex_core.errors import DataflexError, Interrupted

CTRL_C = 128 + signal.SIGINT
"""The exit code."""


class CtrlC:
    """Remembers SIGINT beside raising KeyboardInterrupt for it."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """For the block; outside of the main thread, and where SIGINT is ignored, nothing changes."""
        ours = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGINT)
        if not ours or before is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._raise)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def instead_of(self, error: DataflexError) -> DataflexError:
        """``error``, or where it came of a Ctrl-C, that."""
        return stopped(error) if self.asked and error.exit_code < 128 else error

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt


def stopped(error: BaseException) -> DataflexError:
    """The error for what Ctrl-C raised: with what was under way, where that is noted."""
    chain: BaseException | None = error
    notes: list[str] = []
    seen: set[int] = set()  # click's Abort and what it was raised for are each other's reason
    while chain is not None and id(chain) not in seen and not notes:
        seen.add(id(chain))
        notes = list(getattr(chain, "__notes__", ()))
        chain = chain.__cause__ or chain.__context__
    made = Interrupted(" ".join(["stopped by Ctrl-C", *notes[:1]]), hint="run it again where that was not meant")
    made.exit_code = CTRL_C
    return made
