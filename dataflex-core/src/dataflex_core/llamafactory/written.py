"""Values as people write them, in a configuration or an environment variable, and as LLaMA-Factory reads them."""

from __future__ import annotations

from dataflex_core.errors import InvalidConfig

BY_LAYER = "layer"
"""The mode in which BAdam trains one block of layers at a time, and its default."""
ADAPTERS, EVERY_LAYER = "lora", "all"
"""How a model trains without its own weights, and at which layers, where nobody says so."""
PRETRAINING = "pt"
"""The stage whose rows are packed where nobody says otherwise."""
GATE = "gate"
"""What is in the names of a mixture's routers, and of other layers."""


def is_on(value: object) -> bool:
    """Whether ``value`` switches something on: text that says no, nothing or zero does not."""
    if isinstance(value, str):
        return value.strip().lower() not in {"", "0", "0.0", "false", "no", "none", "n", "f"}
    return bool(value)


def number(value: object) -> float:
    """``value`` as a number; 0 where it is none."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def whole_number(value: object, name: str) -> int:
    """``value`` of the key or variable ``name``. Raises `InvalidConfig` where it is no whole number of at least 0."""
    # YAML makes a fraction of 1e3.
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    if not text.isdigit():
        raise InvalidConfig(f"{name} is {text!r}, not a number", hint=f"unset {name}, or set it to a whole number")
    return int(text)
