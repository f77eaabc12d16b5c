"""Which layers own the trainable parameters of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from dataflex_core.scoring.rules.registry import Registry
from dataflex_core.scoring.rules.rule import Rule

_HOLDERS = (nn.ParameterDict, nn.ParameterList)
"""Modules that only hold parameters: these are of the layer that the module is a part of."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Owner:
    """A layer, its rule, and the trainable parameters of its own by the names that it has for them."""

    layer: nn.Module
    rule: Rule
    parameters: Mapping[str, nn.Parameter]


def owners_of(
    model: nn.Module, registry: Registry, among: Collection[nn.Parameter]
) -> tuple[list[Owner], dict[str, str]]:
    """The owners of parameters ``among`` those that train, and those of these that no rule reaches, with the reason.

    The latter are called by their names in ``model``.
    """
    owners, beyond = [], {}
    for path, layer in model.named_modules():
        own = {} if isinstance(layer, _HOLDERS) else {name: p for name, p in _own(layer) if p in among}
        if not own:
            continue
        rule = registry.find(layer)
        if rule is not None:
            owners.append(Owner(layer=layer, rule=rule, parameters=own))
        for name in own if rule is None else ():
            full = f"{path}.{name}".removeprefix(".")
            beyond[full] = f"{path or type(layer).__name__} holds parameters outside of a layer"
    return owners, beyond


def _own(layer: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    yield from ((name, p) for name, p in layer.named_parameters(recurse=False) if p.requires_grad)
    for part, child in layer.named_children():
        if isinstance(child, _HOLDERS):
            yield from ((f"{part}.{name}", p) for name, p in _own(child))
