"""The end of a rank's process, which nothing that comes after the training can turn into a failure."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable

from dataflex_cli.streams import flush_for_good


class Leaving:
    """Calls a rank's ``main`` and ends the process with its exit code, without taking the interpreter apart.

    A thread of a library that still runs while the interpreter goes (gloo's, a tracker's) can abort the process: a run
    that is trained and saved would end with SIGABRT. So threads are waited for and `atexit` functions run, as ever, and
    then the process ends; destructors of C++ libraries do not run. An exception that ``main`` lets through, other than
    SystemExit, ends the process in Python's own way.
    """

    def __init__(self) -> None:
        self._code: int | None = None

    def after(self, main: Callable[[], None]) -> None:
        """Call ``main``, once, before anything of weight is imported: what is registered with `atexit` later runs."""
        atexit.register(self._leave)  # the first one registered is the last one called
        try:
            main()
        except SystemExit as error:
            self._code = error.code if isinstance(error.code, int) else int(error.code is not None)
            raise
        self._code = 0

    def _leave(self) -> None:
        if self._code is None:
            return
        flush_for_good()
        os._exit(self._code)
