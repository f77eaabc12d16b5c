"""Any failure of a run in one line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from dataflex_core.errors import DataflexError, RunFailed


@contextmanager
def errors_in_one_line(*, debug: bool) -> Iterator[None]:
    """Raise a `DataflexError` for whatever `Exception` the block raises; with ``debug`` print the traceback first.

    A `DataflexError` stays as it is; any other becomes `RunFailed` with its type and its text in one line.
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
        message = " ".join(str(error).split())
        text = f"{type(error).__name__}: {message}" if message else type(error).__name__
        raise RunFailed(f"the run failed: {text}", hint="run again with --debug for the traceback") from error
