"""What strategies do wrong, as errors that name them: what one raises, with moment and line; ranks that disagree."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from dataflex_core.errors import DataflexError, RanksDisagree, StrategyFault
from dataflex_core.wording import first_line

FAULT_HINT = "see dataflex_core.contracts for what is asked of a strategy; dataflex check tries it"
"""What to do about a strategy that breaks its contract."""
_HINT = "mend the strategy; --debug shows the traceback"


@contextmanager
def named(strategies: Mapping[str, object], when: str) -> Iterator[None]:
    """Raise a `StrategyFault` for what one of ``strategies``, by title, raises in the block, but for Ctrl-C.

    It names the strategy, ``when``, and the line. An error of DataFlex's own comes through as it is, but for a
    `StrategyFault` that does not say whose it is. Where several strategies are asked in the block, whose method was
    running tells which it was; where none was, the error comes through.
    """
    try:
        yield
    except DataflexError as error:
        if not isinstance(error, StrategyFault) or any(title in error.message for title in strategies):
            raise
        if (title := _whose(error, strategies)) is None:
            raise
        place = place_of(error, strategies[title]) or place_of_class(strategies[title])
        raise StrategyFault(f"{title}, {when}: {error.message}, at {place}", hint=error.hint or _HINT) from error
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # SystemExit, asyncio.CancelledError and others of their own
        if (title := _whose(error, strategies)) is None:
            raise
        text = first_line(error)
        what = text if text.startswith(type(error).__name__) else f"{type(error).__name__}: {text}"
        place = place_of(error, strategies[title]) or place_of_class(strategies[title])
        raise StrategyFault(f"{title}, {when}: {what}, at {place}", hint=_HINT) from error


def place_of(error: BaseException, owner: object) -> str | None:
    """``file:line`` of the deepest code of ``owner``'s own package that an exception came through, or None.

    Where it came through none, that of the packages whose classes ``owner`` inherits from, without DataFlex's own.
    """
    return place_in(error, _package(owner)) or place_in(error, *_inherited(owner))


def place_in(error: BaseException, *packages: str) -> str | None:
    """``file:line`` of the deepest code of top-level packages that an exception came through, or None."""
    found = None
    for frame, line in _frames(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in packages:
            found = _place(frame.f_code.co_filename, line)
    return found


def place_of_method(owner: object, method: str) -> str | None:
    """``file:line`` at which a method of a strategy, or of its class, is defined; None where that is not known."""
    found = getattr(owner, method, None)
    code = None if found is None else getattr(inspect.unwrap(found), "__code__", None)
    return None if code is None else _place(code.co_filename, code.co_firstlineno)


def answered_at(owner: object, method: str) -> str:
    """The end of a sentence about a wrong answer: the method that gave it, and its place."""
    place = place_of_method(owner, method)
    return f", in {method}() at {place}" if place else f", in {method}()"


def place_of_class(owner: object) -> str:
    """``file:line`` at which a class, that of an object, or a function is defined; its module where none is known."""
    made: Any = owner if inspect.isclass(owner) or inspect.isroutine(owner) else type(owner)
    try:
        return _place(inspect.getsourcefile(made) or made.__module__, inspect.getsourcelines(made)[1])
    except (OSError, TypeError):
        return str(made.__module__)


def _whose(error: BaseException, strategies: Mapping[str, object]) -> str | None:
    """The strategy whose method was running, the only one where there is but one, or None."""
    if len(strategies) == 1:
        return next(iter(strategies))
    found = None
    for frame, _ in _frames(error.__traceback__):
        names = frame.f_code.co_varnames[:1]
        bound = frame.f_locals.get(names[0]) if names else None
        found = next((title for title, made in strategies.items() if made is bound), found)
    return found


def _package(owner: object) -> str:
    # A function and a class know their module; what a class made knows that of its class.
    module = getattr(owner, "__module__", None) or type(owner).__module__
    return str(module).partition(".")[0]


def _inherited(owner: object) -> set[str]:
    classes = owner.__mro__ if isinstance(owner, type) else type(owner).__mro__
    return {one.__module__.partition(".")[0] for one in classes} - {"builtins", "dataflex_core"}


def _frames(traceback: TracebackType | None) -> Iterator[tuple[Any, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _place(filename: str, line: int) -> str:
    inside = os.path.relpath(filename) if filename.startswith(os.getcwd() + os.sep) else filename
    return f"{inside}:{line}"


def disagreement(who: str, step: int, ranks: Sequence[int]) -> RanksDisagree:
    """The error for ranks that decided otherwise than rank 0."""
    odd = ", ".join(map(str, ranks))
    return RanksDisagree(
        f"{who}, step {step}: rank{'s' * (len(ranks) > 1)} {odd} decided otherwise than rank 0",
        hint="draw from request.rng only, and give the same answer on every rank",
    )
