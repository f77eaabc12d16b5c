"""Any failure of a run in one line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from dataflex_core.errors import DataflexError, RunFailed
from dataflex_core.wording import one_line


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
        hint = "run again with --debug for the traceback"
        raise RunFailed(f"the run failed: {one_line(error)}", hint=hint) from error
