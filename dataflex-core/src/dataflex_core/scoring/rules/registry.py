"""The rules that there are: DataFlex's own, and those of plugins, which are asked first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate.utils.memory import should_reduce_batch_size
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
from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.layout import Unreachable
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


def for_class(kind: type[nn.Module], gradients: Gradients, title: str) -> Rule:
    """A plugin's rule for the layers of one class, and of subclasses that compute as it does; ``title`` is for people.

    Where its function raises, or answers in another shape, the rule raises `Unreachable`.
    """

    def fits(layer: nn.Module) -> bool:
        return isinstance(layer, kind) and type(layer).forward is kind.forward

    def guarded(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
        try:
            found = gradients(call, name, rows)
        except RuntimeError as error:
            if should_reduce_batch_size(error):
                raise
            raise Unreachable(f"{title} fails: {error}") from error
        # A plugin is somebody else's code: whatever it raises, gradients can be taken without it.
        except Exception as error:
            raise Unreachable(f"{title} fails: {type(error).__name__}: {error}") from error
        expected = (rows.stop - rows.start, *call.layer.get_parameter(name).shape)
        if not torch.is_tensor(found) or found.shape != expected:
            shape = tuple(found.shape) if torch.is_tensor(found) else type(found).__name__
            raise Unreachable(f"{title} answers {shape}, not {expected}")
        return found.float().clone()  # what it answers with may be the call's own, and is overwritten

    return Rule(fits=fits, gradients=guarded, runs=True)
