"""Columns of the data that hold numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflex_core import SetupContext, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def numbers(context: SetupContext, column: str, owner: str) -> NDArray[np.float64]:
    """A column of the pool, Float64[pool]. Raises `UsageError` where it is not there, or holds no numbers."""
    values = context.column(column)
    if values.dtype.kind not in "fiub":
        raise UsageError(f"{owner}: {column} holds no numbers", hint="name another column")
    return values.astype("f8")
