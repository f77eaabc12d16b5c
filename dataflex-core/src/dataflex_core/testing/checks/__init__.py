"""The checks, by what they look at: the declaration, the answers, the state, the care taken, the edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dataflex_core.spec import Kind
from dataflex_core.testing.runner import Subject

Run = Callable[[Subject], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise of a strategy's contract. ``run`` raises where it is not kept, an AssertionError with the reason."""

    name: str
    kinds: frozenset[Kind]
    description: str
    run: Run


def check(*kinds: Kind) -> Callable[[Run], Check]:
    """Make a check of a function, for strategies of ``kinds``, or of all; its docstring is the promise."""

    def made(function: Run) -> Check:
        (description,) = (function.__doc__ or "").strip().splitlines()
        return Check(name=function.__name__, kinds=frozenset(kinds or Kind), description=description, run=function)

    return made
