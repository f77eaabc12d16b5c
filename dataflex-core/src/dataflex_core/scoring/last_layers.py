"""A model's transformer layers, and what of it lies at or behind the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from dataflex_core.errors import UnmetNeed
from dataflex_core.scoring.model_calls import base_of


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The layers of a language model, from the first. Raises `UnmetNeed` where they are not found."""
    inner: Any = base_of(model).base_model
    count = int(inner.config.get_text_config().num_hidden_layers)
    # What is beside a language model may have as many layers.
    language = inner if inner.config.get_text_config() is inner.config else inner.get_decoder()
    for module in language.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise UnmetNeed(f"the layers of {type(language).__name__} are not found", hint="use the last layer, or all")


def parameters_behind(model: nn.Module, last: int) -> set[nn.Parameter]:
    """The parameters of the ``last`` layers, and of what comes after them in the order in which modules are registered.

    One that is used before as well, as tied embeddings are, is none of them.
    """
    before = {parameter for module in _before(model, last) for parameter in module.parameters()}
    own = {p for module in _around(model) for p in module.parameters(recurse=False)}
    return set(model.parameters()) - before - own


def _before(model: nn.Module, last: int) -> Iterator[nn.Module]:
    layers = layers_of(model)
    yield from layers[: len(layers) - last]
    for module in _around(model):
        for child in module.children():
            if layers in child.modules():
                break
            yield child


def _around(model: nn.Module) -> Iterator[nn.Module]:
    """The modules that the layers lie in: nobody knows when these use parameters of their own."""
    layers = layers_of(model)
    for module in model.modules():
        if module is not layers and layers in module.modules():
            yield module
