"""Expert loads: which experts of a mixture the tokens of samples are sent to, by the model's own routers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dataflex_core.errors import UnmetNeed
from dataflex_core.experts import experts_of
from dataflex_core.scoring.embeddings import attended
from dataflex_core.scoring.model_calls import base_of, inputs_without_head
from dataflex_core.scoring.rules import experts
from dataflex_core.scoring.rules.passed import arguments


class Routers:
    """The routers of a model, listened to while `routed` lasts: ``experts`` for each of ``layers``."""

    def __init__(self, experts: int, layers: int) -> None:
        self.width = experts * layers
        """Numbers of a sample."""
        self.choices: list[torch.Tensor] = []
        """Of the forward under way: the experts of each token, Int64[b * T, k], layer by layer."""
        self._experts, self._layers = experts, layers

    def loads(self, model: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Shares of choices, Float32[b, width], of a batch padded on either side. Runs one forward."""
        self.choices.clear()
        model(**inputs_without_head(model, batch))
        mask = attended(batch)
        if len(self.choices) != self._layers or any(len(index) != mask.numel() for index in self.choices):
            raise _hidden("its routers do not see each token once")
        return torch.cat([shares(index, mask, self._experts) for index in self.choices], dim=1)


@contextmanager
def routed(model: nn.Module) -> Iterator[Routers]:
    """Listen to the routers of ``model`` by hooks, which go at the end. Raises `UnmetNeed` where there are none.

    What fused experts are given is what their router chose, whatever it went by. Where a version of transformers has
    none, a router is what the model declares to give ``router_logits``, and it chooses the largest.
    """
    base: Any = base_of(model)
    fused = [layer for layer in base.modules() if experts.fits(layer)]
    gates = [] if fused else _declared(base)
    count = experts_of(base.config.to_dict())
    if not count or not fused + gates:
        raise _hidden("it is no mixture of experts" if not count else "it does not say what its routers are")
    routers = Routers(count, len(fused + gates))

    def sent(layer: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        routers.choices.append(arguments(layer, args, options)[1])

    def chose(gate: nn.Module, args: tuple[Any, ...], logits: torch.Tensor) -> None:
        each = int(base.config.get_text_config().num_experts_per_tok)
        routers.choices.append(logits.reshape(-1, count).topk(each, dim=-1).indices)

    handles = [layer.register_forward_pre_hook(sent, with_kwargs=True) for layer in fused]
    handles += [gate.register_forward_hook(chose) for gate in gates]
    try:
        yield routers
    finally:
        for handle in handles:
            handle.remove()


def shares(index: torch.Tensor, mask: torch.Tensor, experts: int) -> torch.Tensor:
    """Of each sample's choices those that fell on each expert, Float32[b, experts] of sum one.

    ``index`` Int64[b * T, k] are the experts of each token; one beyond all of them, where experts lie on other
    devices, counts for none. ``mask`` Bool[b, T] is which tokens are no padding.
    """
    each = index.shape[1]
    sent = index.reshape(len(mask), -1).clamp(max=experts)
    counted = mask.repeat_interleave(each, dim=1).float()
    counts = counted.new_zeros(len(mask), experts + 1).scatter_add(1, sent, counted)
    return counts[:, :experts] / counted.sum(dim=1, keepdim=True).clamp(min=1)


def _declared(base: nn.Module) -> list[nn.Module]:
    """Layers by whose place the model records ``router_logits``, as it does in transformers 4."""
    told = [getattr(module, "_can_record_outputs", None) or {} for module in base.modules()]
    places = {getattr(each["router_logits"], "layer_name", None) for each in told if "router_logits" in each} - {None}
    return [module for name, module in base.named_modules() if any(name.endswith(f".{place}") for place in places)]


def _hidden(why: str) -> UnmetNeed:
    return UnmetNeed(
        f"expert loads are asked for of the model in training: {why}",
        hint="train a mixture of experts, such as Mixtral or Qwen2-MoE, or use another strategy",
    )
