"""The pluggy hooks through which a distribution offers strategies, and rules for gradients of its layers.

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

from dataflex_core.spec import GradientRule, StrategySpec

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

    @hookspec
    def dataflex_gradient_rules(self) -> Iterable[GradientRule]:
        """Yield one rule per kind of layer whose per-sample gradients DataFlex should take in your way.

        A layer with no rule is run again for each sample, or the whole model is; a rule is one product::

            @hookimpl
            def dataflex_gradient_rules():
                yield GradientRule(layer="mine.layers:Scale", rule="mine.rules:scale")

            # mine/rules.py: a layer that answers x * weight, for a weight [width]
            def scale(call, name, rows):
                x, grad = call.input(rows), call.grad(rows)  # [b, tokens, width] of the samples in the slice ``rows``
                return (x.float() * grad.float()).sum(dim=1)  # Float32[b, width]

        ``name`` is the layer's own name of one trainable parameter; the answer is Float32[b, *shape of the parameter],
        the gradient of each sample's loss. ``call`` is `dataflex_core.scoring.rules.calls.LayerCall`; ``call.args``
        and ``call.options`` are all that the layer was called with, for the whole batch. The rule holds for the class
        and for subclasses that compute as it does, before DataFlex's own rules. What it answers is compared with
        autograd's gradient where the layer is first used; a rule that is wrong is not followed, and the run says so.

        Must import nothing heavy: it runs for every ``dataflex`` command.
        """
        return ()
