"""Standard output and standard error that cannot fail a run, whatever becomes of what is behind them."""

from __future__ import annotations

import io
import os
import select
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
            while (written := super().write(view)) is None:  # it does not block, and whoever reads it is behind
                select.select([], [self], [])
            return written
        except OSError:  # a pipe that is closed, a disk that is full, a terminal that is gone
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for what libraries and other processes write there, too
            os.close(nowhere)
            return len(view)


class _Lines(io.TextIOWrapper):
    """Text that is written above bars of tqdm, whole lines at a time, while any is up.

    A bar is written anew below. What tqdm writes itself, to move the cursor and draw bars, passes as it is.
    """

    _begun = ""
    """The beginning of a line that a bar has no room for."""
    _above = False

    def write(self, text: str) -> int:
        if self._above or not text:
            return super().write(text)
        tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
        of_bar = text.startswith(("\r", "\x1b")) or (not self._begun and text.startswith("\n"))
        if tqdm is None or (of_bar and self.fileno() == 2) or not getattr(tqdm, "_instances", ()):
            begun, self._begun = self._begun, ""
            super().write(begun + text)
            return len(text)
        lines, end, self._begun = (self._begun + text).rpartition("\n")
        if end:
            with tqdm.external_write_mode(file=self):
                self._above = True
                try:
                    super().write(lines + end)
                    super().flush()
                finally:
                    self._above = False
        return len(text)

    def write_begun(self) -> None:
        """Write the beginning of a line: its end will not come."""
        begun, self._begun = self._begun, ""
        super().write(begun)

    def close(self) -> None:
        if self._begun and not self.closed:
            self.write_begun()
        super().close()


def open_closed_streams() -> None:
    """Open, to nowhere, what of standard output and standard error was closed by whoever started the process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the next file that is opened would take its number
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # for as long as the process


def replace_what_encodings_lack() -> None:
    """Let no character that is printed raise: one that an encoding lacks is replaced, as a lone surrogate is.

    Where the streams are the process's own, and nobody has chosen another handler for them.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        own = stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper)
        if own and stream.errors in ("strict", "surrogateescape"):  # neither takes all characters, in any encoding
            with suppress(OSError, ValueError):  # what is behind it is gone
                stream.reconfigure(errors="replace")


def keep_streams_open() -> None:
    """Let nothing that is printed raise: what an encoding lacks is escaped, what cannot be written is dropped.

    Nor can it break a bar, or be broken by one: see `_Lines`.

    Where the streams are the process's own; those that somebody has put in their place are left alone. One that is
    closed is opened, to nowhere.
    """
    open_closed_streams()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or _raw_of(stream) is not None:
            continue
        with suppress(OSError, ValueError, AttributeError):  # of a stream without a file
            stream.flush()
        with suppress(OSError, ValueError, AttributeError):
            raw = _Raw(stream.fileno(), "w", closefd=False)
            setattr(sys, name, _text(raw, stream))


def flush_for_good() -> None:
    """Write all that was printed, also a line that was begun and not ended: the process is about to end.

    A stream that cannot be written to any more is passed over.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # a pipe or a terminal that is gone, or none at all
            if isinstance(stream, _Lines):
                stream.write_begun()
            stream.flush()


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
    return _Lines(buffer, encoding=stream.encoding, errors=errors, line_buffering=lines, newline=None)


def _raw_of(stream: Any) -> _Raw | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Raw) else None
