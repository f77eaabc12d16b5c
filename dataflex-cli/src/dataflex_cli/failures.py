"""Any failure of a run in one line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from dataflex_core.errors import DataflexError, RunFailed


@contextmanager
def one_line(*, debug: bool) -> Iterator[None]:
    """Turn whatever the block raises into a `DataflexError`; with ``debug`` print the traceback too."""
    try:
        yield
    except DataflexError as error:
        if debug:
            traceback.print_exception(error)
        raise
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        said = " ".join(str(error).split())
        text = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise RunFailed(f"the run failed: {text}", hint="run again with --debug for the traceback") from error
