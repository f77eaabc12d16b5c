"""What a strategy does with what it is given: the planner's requests and its answers, looked at at each call."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from dataflex_core.requests import Selection

if TYPE_CHECKING:
    from dataflex_core.contracts import Strategy
    from dataflex_core.testing.steps import Runner

_METHODS = ("score", "choose", "select", "mix")
_ARRAYS = ("candidates", "previous", "mean")


def watch(strategy: Strategy[Any], runner: Runner) -> None:
    """Have ``runner`` notice, from now on, what calls of the strategy's methods change, draw and select."""
    for name in _METHODS:
        method = getattr(strategy, name, None)
        # The final `select` of a scoring selector calls the other two.
        if method is not None and not (name == "select" and hasattr(strategy, "choose")):
            strategy.__dict__[name] = _watched(method, runner)


def _watched(method: Callable[..., Any], runner: Runner) -> Callable[..., Any]:
    @wraps(method)  # a wrong answer is said to be of the author's method
    def called(request: Any, *others: Any) -> Any:
        given = {f"request.{name}": getattr(request, name) for name in _ARRAYS if hasattr(request, name)}
        given.update({f"argument {i}": other for i, other in enumerate(others, 2) if isinstance(other, np.ndarray)})
        with runner.watching(given, request.rng):
            answer = method(request, *others)
        if isinstance(answer, Selection):
            runner.selections.append(answer)
        return answer

    return called
