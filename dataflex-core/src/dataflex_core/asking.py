"""Asking strategies: what one raises names it, and so does what it leaves changed of the process, which is put back."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflex_core.errors import StrategyFault
from dataflex_core.strategy_faults import named

KEEP_HINT = "set it in a with block, which sets it back"
"""What to do about a strategy that changes training by changing the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What belongs to the process: what people call it, what tells its value, what sets it.

    ``first`` is what it is once its library is imported.
    """

    name: str
    get: Callable[[], Any]
    set: Callable[[Any], object]
    first: Any = None


_ALWAYS = (
    _Setting(name="numpy's handling of errors", get=np.geterr, set=lambda value: np.seterr(**value)),
    _Setting(name="the working folder", get=os.getcwd, set=os.chdir),
)


@contextmanager
def asked(strategies: Mapping[str, object], when: str) -> Iterator[None]:
    """For a block in which a run asks ``strategies``, by title: `named`, and settings of the process are kept.

    Raises `StrategyFault`, too, where one leaves them changed.
    """
    with named(strategies, when), settings_kept() as changed:
        yield
        if left := changed():
            said = f"{' or '.join(strategies)}, {when}: leaves {' and '.join(left)} changed"
            raise StrategyFault(said, hint=KEEP_HINT)


@contextmanager
def settings_kept() -> Iterator[Callable[[], tuple[str, ...]]]:
    """Put back, at the end of the block, what it has changed of the process's settings.

    Whether torch takes gradients, its default dtype, numpy's handling of errors, and the working folder. What is given
    tells the names of those that are other than they were.
    """
    before = {one.name: _value(one) for one in _settings()}

    def changed() -> list[tuple[_Setting, Any]]:
        pairs = ((one, before.get(one.name, one.first)) for one in _settings())
        return [(one, value) for one, value in pairs if _value(one) != value]

    try:
        yield lambda: tuple(one.name for one, _ in changed())
    finally:
        for one, value in changed():
            with suppress(OSError):  # the folder may be gone
                one.set(value)


def _settings() -> tuple[_Setting, ...]:
    """Those there are: torch has its own, where it is imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return _ALWAYS
    gradients, dtype = torch.set_grad_enabled, torch.set_default_dtype
    return (
        *_ALWAYS,
        _Setting(name="whether gradients are taken", get=torch.is_grad_enabled, set=gradients, first=True),
        _Setting(name="torch's default dtype", get=torch.get_default_dtype, set=dtype, first=torch.float32),
    )


def _value(setting: _Setting) -> Any:
    try:
        return setting.get()
    except OSError:  # a working folder that is gone
        return None
