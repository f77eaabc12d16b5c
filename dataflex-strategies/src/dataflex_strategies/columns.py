"""Columns of the data that hold numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflex_core import CheckRequest, SetupContext, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check_carried(column: str, request: CheckRequest, owner: str) -> None:
    """Raise `UsageError` where the run does not carry a column."""
    if column not in request.columns:
        hint = f"set dataflex.columns: [{', '.join([*request.columns, column])}]"
        raise UsageError(f"{owner} asks for the column {column}, and the run does not carry it", hint=hint)


def numbers(context: SetupContext, column: str, owner: str) -> NDArray[np.float64]:
    """A column of the pool, Float64[pool]. Raises `UsageError` where it is not there, or holds no numbers."""
    values = context.column(column)
    if values.dtype.kind not in "fiub":
        raise UsageError(f"{owner}: {column} holds no numbers", hint="name another column")
    return values.astype("f8")
