"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.rules.calls import LayerCall

Gradients = Callable[[LayerCall, str, slice], torch.Tensor]
"""Of a call, for the parameter that its layer has by that name, and of so many samples: Float32[b, *shape]."""


Forward = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any]], tuple[Any, Mapping[str, Any]] | None]
"""Of a layer, its arguments and options: its output, and what goes into `LayerCall.kept`; None: it is to run itself."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """Per-sample gradients of one kind of layer: of those that it ``fits``.

    ``add``, where there is one, adds the same to a Float32[b, *shape]: for what is mostly zeros. ``keeps_output`` has
    `LayerCall.output` kept. ``runs`` is whether the layer's own parameters are read, so that they must be whole.
    ``forward``, where there is one, computes what the layer does, and keeps what would be computed again otherwise.
    """

    fits: Callable[[nn.Module], bool]
    gradients: Gradients
    add: Callable[[torch.Tensor, LayerCall, str, slice], None] | None = None
    keeps_output: bool = False
    runs: bool = False
    forward: Forward | None = None
