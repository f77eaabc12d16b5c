"""The installer of this environment: its own pip, or uv."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from dataflex_core.errors import DataflexError, RunFailed


def command(verb: str, names: Sequence[str]) -> tuple[str, ...] | None:
    """The words of a command that installs or uninstalls ``names`` here without questions: ``verb`` is which.

    None where there is neither pip nor uv. What lies in the current folder is not taken for a module.
    """
    if importlib.util.find_spec("pip") is not None:
        agreed = ("--yes",) if verb == "uninstall" else ()
        return (sys.executable, "-P", "-m", "pip", verb, *agreed, *names)
    if (uv := shutil.which("uv")) is not None:
        return (uv, "pip", verb, "--python", sys.executable, *names)
    return None


def call(verb: str, names: Sequence[str]) -> None:
    """Install or uninstall ``names``; the installer writes to this process's stdout and stderr.

    Raises `RunFailed` where it ends with another code than 0, `DataflexError` where there is none.
    """
    words = command(verb, names)
    if words is None:
        by_hand = f"uv pip {verb} --python {shlex.join((sys.executable, *names))}"
        raise DataflexError("this environment has no pip, and uv is not on the PATH", hint=f"get uv, then: {by_hand}")
    done = subprocess.run(words, check=False)
    if done.returncode:
        raise RunFailed(f"{verb} ended with exit code {done.returncode}", hint="its last lines are above")
