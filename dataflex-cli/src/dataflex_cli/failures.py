"""Any failure of a run, or of what comes before one, in one line."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from dataflex_core.errors import DataError, DataflexError, RunFailed
from dataflex_core.wording import first_line, one_line

_HINTS = {
    errno.EACCES: "check who may read and write it",
    errno.EPERM: "check who may read and write it",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ENOSPC: "make room, or write elsewhere",
    errno.EROFS: "write elsewhere",
}


@contextmanager
def errors_in_one_line(
    *, debug: bool, what: str = "the run failed", hint: str = "run again with --debug for the traceback"
) -> Iterator[None]:
    """Raise a `DataflexError` for whatever `Exception` the block raises; with ``debug`` print the traceback first.

    A `DataflexError` stays as it is; any other becomes `RunFailed`: ``what`` failed, then its type and its text, in one
    line, and ``hint`` beside it.
    """
    try:
        yield
    except DataflexError as error:
        if debug:
            traceback.print_exception(error)
        raise
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        raise RunFailed(f"{what}: {one_line(error)}", hint=hint) from error


def of_a_file(error: OSError) -> DataError:
    """The error for a file that cannot be read or written, where nobody foresaw it: which, and why."""
    hint = _HINTS.get(error.errno or 0, "check that it is there and whole, and who may read and write it")
    if error.filename is None:
        return DataError(first_line(error), hint=hint)
    name = error.filename if isinstance(error.filename, int) else os.fsdecode(error.filename)
    return DataError(f"{name}: {error.strerror or type(error).__name__}", hint=hint)
