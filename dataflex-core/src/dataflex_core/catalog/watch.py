"""Whoever waits for somebody else's code to be imported learns what for; and of Ctrl-C, what it ended."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = "DATAFLEX_IMPORT_SECONDS"
"""The environment variable that says after how many seconds of an import it is told which it is; 0 for never."""
_DEFAULT = 5.0


@contextmanager
def importing(what: str, remedy: str) -> Iterator[None]:
    """For a block that imports ``what``: where it takes long that is told once, on stderr, with the ``remedy``.

    A KeyboardInterrupt meanwhile gets a note that names it.
    """
    done = threading.Event()
    seconds = _seconds()
    if seconds > 0:
        # A daemon: nothing of it may hold up the end of the process.
        threading.Thread(target=_tell, args=(done, seconds, what, remedy), daemon=True).start()
    try:
        yield
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"while {what} was being imported ({remedy})")
        raise
    finally:
        done.set()


def _tell(done: threading.Event, seconds: float, what: str, remedy: str) -> None:
    if not done.wait(seconds) and sys.__stderr__ is not None:
        # Not `sys.stderr`: the block may have redirected it, and a plugin may never give it back.
        print(f"DataFlex: still importing {what}, for {seconds:g} seconds now ({remedy})", file=sys.__stderr__)
        sys.__stderr__.flush()


def _seconds() -> float:
    try:
        return float(os.environ.get(SECONDS, _DEFAULT))
    except ValueError:
        return _DEFAULT
