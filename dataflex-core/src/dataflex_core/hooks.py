"""The pluggy hook through which a distribution offers strategies.

A plugin is a module named by an entry point in the group ``dataflex``::

    from dataflex_core import Kind, StrategySpec, hookimpl

    @hookimpl
    def dataflex_strategies():
        yield StrategySpec(kind=Kind.SELECTOR, name="mine", target="mine.selector:Mine", summary="what it does")

A plugin may say which version of this contract it was written for, ``DATAFLEX_API = 2`` in that module. Under another
version it is then a fault that says so, and not an error somewhere on its way; one that says nothing is tried.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from dataflex_core.spec import StrategySpec

PROJECT = "dataflex"
"""pluggy's project name, and the entry-point group."""

API_VERSION = 2
"""The version of the contract: hooks, `StrategySpec` and what strategies are given. Counted up when plugins break."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """Every hook a plugin may implement."""

    @hookspec
    def dataflex_strategies(self) -> Iterable[StrategySpec]:
        """Yield one spec per strategy. Must import nothing heavy: it runs for every ``dataflex`` command."""
        return ()
