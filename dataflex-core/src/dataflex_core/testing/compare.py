"""Performances compared: where two of them part, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.testing.runner import Answers, Trace
from dataflex_core.testing.steps import Answer


def difference(first: Answers, second: Answers, *, exact: bool = True) -> str | None:
    """The first question at which two traces part, or None; where not ``exact``, rounding is no difference."""
    for (title, one), (_, other) in zip(first, second, strict=True):
        if len(one) != len(other) or not all(_alike(a, b, exact) for a, b in zip(one, other, strict=True)):
            return f"{title}: {_shown(one)} and {_shown(other)}"
    return None


def parting(first: Trace, second: Trace, *, exact: bool = True) -> str | None:
    """Where two traces of the same questions part, in an answer or in the state that they end in, or None."""
    told = difference(first.answers, second.answers, exact=exact)
    return told or state_difference(first.last.state, second.last.state, exact=exact)


def state_difference(first: Any, second: Any, where: str = "state", *, exact: bool = True) -> str | None:
    """Where two states part, or None."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            return f"{where} has the keys {sorted(first)} and {sorted(second)}"
        parts = [(f"{where}.{key}", first[key], second[key]) for key in first]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        parts = [(f"{where}.{i}", a, b) for i, (a, b) in enumerate(zip(first, second, strict=True))]
    else:
        same = type(first) is type(second) and _alike(np.asarray(first), np.asarray(second), exact)
        return None if same else f"{where} is {first!r} and {second!r}"
    found = (state_difference(a, b, name, exact=exact) for name, a, b in parts)
    return next((text for text in found if text is not None), None)


def _alike(first: NDArray[Any], second: NDArray[Any], exact: bool) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if first.dtype.kind != "f":
        return bool(np.array_equal(first, second))
    if exact:
        return bool(np.array_equal(first, second, equal_nan=True))
    return bool(np.allclose(first, second, rtol=1e-4, atol=1e-6, equal_nan=True))


def _shown(answer: Answer) -> str:
    return ", ".join(np.array2string(part, threshold=12, edgeitems=4, precision=4) for part in answer) or "nothing"
