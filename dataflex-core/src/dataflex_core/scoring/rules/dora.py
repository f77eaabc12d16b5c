"""DoRA's magnitudes: one number for each output of a layer, which scales what base and adapter give together."""

from __future__ import annotations

import torch
from torch import nn

from dataflex_core.scoring.rules import rerun
from dataflex_core.scoring.rules.calls import LayerCall
from dataflex_core.scoring.rules.rule import Rule

_MODULE = "peft.tuners.lora.dora"


def fits(layer: nn.Module) -> bool:
    """PEFT's layers of magnitudes, but that of embeddings, which answers for all samples at once."""
    kind = type(layer)
    return kind.__module__ == _MODULE and kind.__name__ != "DoraEmbeddingLayer"


def gradients(call: LayerCall, name: str, rows: slice) -> torch.Tensor:
    """Float32[b, *shape]. The output is ``m/n * (base + adapter) - base``, of which the magnitude ``m`` is asked."""
    base, output = call.options.get("base_result"), call.output
    if base is None or output is None:
        return rerun.gradients(call, name, rows)
    magnitude = call.layer.get_parameter(name).detach()
    together = call.layout.cut(output, rows).float() + call.layout.cut(base, rows).float()
    product = call.grad(rows).float() * together
    if (bias := getattr(call.options["base_layer"], "bias", None)) is not None:
        # The base's bias is no part of what is scaled, but of the base's result.
        axes = (-1,) + (1,) * (output.ndim - 2) if magnitude.ndim > 1 else (-1,)
        product = product - call.grad(rows).float() * bias.detach().float().view(axes)
    channel = output.ndim - 2 if magnitude.ndim > 1 else 0
    product = product.movedim(-1 - channel, -1).reshape(len(product), -1, magnitude.numel())
    return product.sum(dim=1).view(len(product), *magnitude.shape) / magnitude.float()


RULE = Rule(fits=fits, gradients=gradients, keeps_output=True)
