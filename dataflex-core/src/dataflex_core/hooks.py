"""The pluggy hook through which a distribution offers strategies.

A plugin is a module named by an entry point in the group ``dataflex``::

    from dataflex_core import Kind, StrategySpec, hookimpl

    @hookimpl
    def dataflex_strategies():
        yield StrategySpec(kind=Kind.SELECTOR, name="mine", target="mine.selector:Mine", summary="what it does")
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from dataflex_core.spec import StrategySpec

PROJECT = "dataflex"
"""pluggy's project name, and the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """Every hook a plugin may implement."""

    @hookspec
    def dataflex_strategies(self) -> Iterable[StrategySpec]:
        """Yield one spec per strategy. Must import nothing heavy: it runs for every ``dataflex`` command."""
        return ()
