"""A rank whose launcher is gone ends as one that was sent SIGTERM does: nobody else would end it."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_EVERY = 5.0
"""Seconds from one look for the launcher to the next."""


def end_without_launcher(launcher: int) -> None:
    """From now on, send this process SIGTERM, once, when the process ``launcher`` that started it has ended.

    That may be so already: hence it is told its number, and does not ask for that of its parent.

    A launcher that is killed outright (SIGKILL, memory) takes nobody with it: its ranks would train on unseen, or wait
    for each other for as long as the timeout of their collectives is.
    """
    if os.name == "posix":
        threading.Thread(target=_watch, args=(launcher,), name="dataflex-launcher", daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
