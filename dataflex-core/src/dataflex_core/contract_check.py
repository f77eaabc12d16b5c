"""Whether a class can be what it says it is: found by looking at it, before anything of a run is loaded."""

from __future__ import annotations

import inspect
from typing import Any

from dataflex_core.contracts import Strategy


def what_does_not_fit(implementation: type[Any], contract: type[Strategy[Any]]) -> str | None:
    """How a subclass of ``contract`` cannot be asked as the contract says, or None.

    A method that is missing, is no method, cannot be called with what it is given, answers with a coroutine or a
    generator, or takes the place of one that is final.
    """
    if missing := sorted(getattr(implementation, "__abstractmethods__", ())):
        return f"lacks {', '.join(missing)}()"
    known = [base for base in implementation.__mro__ if base.__module__ == contract.__module__]
    promised = {name: made for base in reversed(known) for name, made in vars(base).items() if inspect.isfunction(made)}
    for name, method in promised.items():
        if wrong := _wrong_method(implementation, name, method):
            return wrong
    return _overridden(implementation)


def _wrong_method(implementation: type[Any], name: str, promised: Any) -> str | None:
    given = inspect.getattr_static(implementation, name)
    if isinstance(given, property) or not callable(getattr(implementation, name)):
        return f"defines {name}, which is no method"
    try:
        signature = inspect.signature(getattr(implementation, name))
    except (TypeError, ValueError):
        return None  # written in C: nothing is known of it
    words = list(inspect.signature(promised).parameters)[1:]
    # Looked up in a class, a function takes the object itself too; of other descriptors that is not known.
    counts = (1 + len(words),) if inspect.isfunction(given) else (len(words), 1 + len(words))
    refusals = [_refusal(signature, count) for count in counts]
    if all(refusals):
        return f"defines {name}(), which cannot be called as {name}({', '.join(words)}): {refusals[0]}"
    function = inspect.unwrap(getattr(implementation, name))
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"defines {name}(), which is async, and nobody waits for it"
    if inspect.isgeneratorfunction(function):
        return f"defines {name}(), which yields where an answer is returned"
    return None


def _refusal(signature: inspect.Signature, count: int) -> str | None:
    """Why a call with ``count`` positional arguments is none, or None."""
    try:
        signature.bind(*[None] * count)
    except TypeError as error:
        return str(error)
    return None


def _overridden(implementation: type[Any]) -> str | None:
    """What takes the place of a method that a class of the contracts marks as final: it would never be called."""
    for base in implementation.__mro__:
        for name, method in vars(base).items():
            if getattr(method, "__final__", False) and getattr(implementation, name) is not method:
                return f"overrides {name}(), which {base.__name__} does not let it"
    return None
