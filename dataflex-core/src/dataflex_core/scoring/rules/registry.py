"""The rules that there are: DataFlex's own, and those of plugins, which are asked first."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from dataflex_core.scoring.rules import (
    conv1d,
    dora,
    embedding,
    experts,
    linear,
    lora_embedding,
    norm,
    patches,
    rerun,
)
from dataflex_core.scoring.rules.rule import Gradients, Rule
from dataflex_core.scoring.sharded import is_sharded

BUILT_IN = (
    linear.RULE,
    conv1d.RULE,
    embedding.RULE,
    lora_embedding.RULE,
    norm.RULE,
    patches.RULE,
    dora.RULE,
    experts.RULE,
    rerun.RULE,
)
"""In the order in which they are asked whether they fit."""


class Registry:
    """Which rule a layer has: the first that fits it."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = (*rules, *BUILT_IN)

    def find(self, layer: nn.Module) -> Rule | None:
        """The layer's rule; None for one that only a run of the whole model could tell apart.

        A rule that reads the layer's parameters cannot have one that is sharded.
        """
        rule = next((rule for rule in self._rules if rule.fits(layer)), None)
        if rule is not None and rule.runs and any(map(is_sharded, layer.parameters())):
            return None
        return rule


def for_class(kind: type[nn.Module], gradients: Gradients) -> Rule:
    """A plugin's rule for the layers of one class, and of subclasses that compute as it does."""

    def fits(layer: nn.Module) -> bool:
        return isinstance(layer, kind) and type(layer).forward is kind.forward

    return Rule(fits=fits, gradients=gradients, runs=True)
