"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall

Gradients = Callable[[LayerCall, str, slice], torch.Tensor]
"""Of a call, for the parameter that its layer has by that name, and of so many samples: Float32[b, *shape]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """Per-sample gradients of one kind of layer: of those that it ``fits``.

    ``add``, where there is one, adds the same to a Float32[b, *shape]: for what is mostly zeros. ``keeps_output`` has
    `LayerCall.output` kept. ``runs`` is whether the layer's own parameters are read, so that they must be whole.
    """

    fits: Callable[[nn.Module], bool]
    gradients: Gradients
    add: Callable[[torch.Tensor, LayerCall, str, slice], None] | None = None
    keeps_output: bool = False
    runs: bool = False
