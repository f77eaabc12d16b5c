"""How a command speaks: where its lines go, and where those of others, for the time of a block.

What was asked for is left in environment variables, which the processes of a run read as they begin.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

from dataflex_cli import console
from dataflex_cli.console import Voice
from dataflex_cli.failures import of_a_file
from dataflex_core.errors import DataflexError, ManyFaults
from dataflex_core.llamafactory.environment import WARNING_LINES, log_from

QUIET, LOG_FORMAT = "DATAFLEX_QUIET", "DATAFLEX_LOG_FORMAT"
FORMATS = ("text", "json")
_NO_BARS = "TQDM_DISABLE"


def asked(env: Mapping[str, str] = os.environ) -> Voice:
    """How this process is to speak."""
    return Voice(quiet=env.get(QUIET) == "1", as_json=env.get(LOG_FORMAT) == "json")


@contextmanager
def speaking(wanted: Voice) -> Iterator[None]:
    """Speak as is ``wanted`` in this process and, by the environment, in those that it starts.

    As JSON our lines alone go to standard output, and whatever others print to standard error. Quietly, others' lines
    are dropped but for warnings and errors, and there are no bars. There are none either where standard error is no
    terminal, unless ``TQDM_DISABLE`` says otherwise. An error that ends the block is said as JSON as well.
    """
    changes = {QUIET: "1" if wanted.quiet else "0", LOG_FORMAT: "json" if wanted.as_json else "text"}
    changes |= {_NO_BARS: "1"} if wanted.quiet else _no_bars_in_files()
    voice, stdout = console.voice, sys.stdout
    with _environment(changes):
        if wanted.quiet:
            log_from("WARN")
        if wanted.quiet or wanted.as_json:
            console.voice = Voice(quiet=wanted.quiet, as_json=wanted.as_json, stream=stdout)
            sys.stdout = _Warnings() if wanted.quiet else sys.stderr
        try:
            yield
        except (DataflexError, OSError) as error:
            if wanted.as_json:
                _say_error(of_a_file(error) if isinstance(error, OSError) else error)
            raise
        finally:
            sys.stdout, console.voice = stdout, voice


@contextmanager
def answering() -> Iterator[None]:
    """Leave standard output to a command's answer: what others print goes to standard error, of logs errors alone.

    There are no bars where standard error is no terminal, as in `speaking`.
    """
    with _environment(_no_bars_in_files()), redirect_stdout(sys.stderr):
        log_from("ERROR")
        yield


def _no_bars_in_files() -> dict[str, str]:
    return {} if sys.stderr.isatty() or _NO_BARS in os.environ else {_NO_BARS: "1"}


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Warnings(io.TextIOBase):
    """A standard output for others of which warnings are left, on standard error."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text.startswith(WARNING_LINES):
            sys.stderr.write(text)
        return len(text)


def _say_error(error: DataflexError) -> None:
    for fault in error.faults if isinstance(error, ManyFaults) else (error,):
        fields = {"hint": fault.hint, "exit_code": fault.exit_code, "kind": type(fault).__name__}
        console.say(fault.message, level="error", event="error", fields=fields)
