"""The last of a model's transformer layers, as strategies and people ask for them."""

from __future__ import annotations

from dataflex_core.errors import StrategyFault, UnmetNeed
from dataflex_core.shares import rounded_up

ALL_LAYERS = "all"
"""What the gradients of all of a model's parameters are asked for by."""


def last_layers(layers: str | float, total: int | None) -> int | None:
    """How many of a model's ``total`` transformer layers, from the last, are meant: None for all that there is.

    ``layers`` is ``all``, ``last-K``, or a share of them above 0, rounded up. Where ``total`` is None only ``last-K``
    is known. Raises `StrategyFault` for another one, and `UnmetNeed` where the model has fewer than K.
    """
    if layers == ALL_LAYERS:
        return None
    if isinstance(layers, str):
        count = int(layers[5:]) if layers.startswith("last-") and layers[5:].isdecimal() else 0
        if total is not None and count > total:
            raise UnmetNeed(f"the {layers} layers are asked for, of a model of {total}", hint="ask for fewer, or all")
    else:
        count = rounded_up(layers * total) if 0 < layers <= 1 and total else 0
    if count < 1:
        raise StrategyFault(f"layers {layers!r} are none", hint="write all, last-K, or a share above 0 and up to 1")
    return count
