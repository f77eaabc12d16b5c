"""SIGTERM, as schedulers send it before they kill: remembered, and acted upon between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


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
