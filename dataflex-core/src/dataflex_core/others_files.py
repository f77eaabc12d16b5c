"""Text that others wrote, parsed: whatever it holds, a parser fails with an error that says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def told_where_too_deep() -> Iterator[None]:
    """Raise `ValueError` for text that is nested deeper than Python's parsers go, in place of `RecursionError`."""
    try:
        yield
    except RecursionError:
        raise ValueError("it is nested too deep to be read") from None


def json_of(text: str | bytes) -> Any:
    """The value of a JSON text. Raises `ValueError`, of which `json.JSONDecodeError` is one, for what is none."""
    with told_where_too_deep():
        return json.loads(text)
