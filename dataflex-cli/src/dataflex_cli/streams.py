"""Standard output and standard error that cannot fail a run, whatever becomes of what is behind them."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class _Raw(io.FileIO):
    """A file descriptor whose content goes nowhere from the first write on that fails."""

    open_line = False
    """Whether the last thing written was the middle of a line."""

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if len(view):
            self.open_line = bytes(view[-1:]) != b"\n"
        try:
            return super().write(view)
        except OSError:  # a pipe that is closed, a disk that is full, a terminal that is gone
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for what libraries and other processes write there, too
            os.close(nowhere)
            return len(view)


def keep_streams_open() -> None:
    """Let nothing that is printed raise: what an encoding lacks is escaped, what cannot be written is dropped.

    Where the streams are the process's own; those that somebody has put in their place are left alone. One that is
    closed is opened, to nowhere.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the process: else the next file opened takes its number
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for as long as the process
            continue
        if stream is not getattr(sys, f"__{name}__") or _raw_of(stream) is not None:
            continue
        with suppress(OSError, ValueError, AttributeError):  # of a stream without a file
            stream.flush()
        with suppress(OSError, ValueError, AttributeError):
            raw = _Raw(stream.fileno(), "w", closefd=False)
            setattr(sys, name, _text(raw, stream))


def others_write() -> None:
    """Other processes are about to write to these streams: a line may be open from then on."""
    for raw in map(_raw_of, (sys.stdout, sys.stderr)):
        if raw is not None:
            raw.open_line = True


def lines_are_ended() -> bool:
    """Whether nothing stands in the last line of either stream; a bar, for one, may. True where that is not known."""
    raws = [_raw_of(stream) for stream in (sys.stdout, sys.stderr)]
    return not any(raw is not None and raw.open_line for raw in raws)


def _text(raw: _Raw, stream: TextIO) -> TextIO:
    lines = raw.isatty() or getattr(stream, "line_buffering", False) or raw.fileno() == 2
    buffer = io.BufferedWriter(raw)
    errors = stream.errors if stream.errors == "backslashreplace" else "replace"
    return io.TextIOWrapper(buffer, encoding=stream.encoding, errors=errors, line_buffering=lines, newline=None)


def _raw_of(stream: Any) -> _Raw | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Raw) else None
