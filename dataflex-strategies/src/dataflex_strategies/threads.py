"""Libraries that compute on one thread, where more would change digits."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """For a block in which the thread pools of the libraries that are loaded, scikit-learn's among them, have one."""
    made: AbstractContextManager[Any] = _pools().limit(limits=1)
    return made


@cache
def _pools() -> Any:
    """Looked up once, for that takes longer than a small search."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # no types

    return ThreadpoolController()
