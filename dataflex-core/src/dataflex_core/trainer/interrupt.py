"""SIGTERM, as schedulers send it before they kill: remembered, and acted upon between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM outside of the training, where there is no step to wait for."""

    number = signal.SIGTERM


@contextmanager
def terminated() -> Iterator[None]:
    """For the block SIGTERM raises `Terminated`, where it would have ended the process, and while none watches."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated


class Termination:
    """Whether this process was asked to end, and whether all ranks have agreed to."""

    def __init__(self) -> None:
        self.asked = False
        self.agreed = False
        self._before: Any = None
        self._watching = False

    def watch(self) -> None:
        """Remember SIGTERM in `asked` instead of ending the process. Does nothing outside of the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
            self._watching = True

    def restore(self) -> None:
        """Put back the handler of SIGTERM that `watch` replaced."""
        if self._watching:
            signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)
            self._watching = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
