"""How many experts a model's layers have, by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEYS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
"""What families of models call the number of experts that a router chooses from."""


def experts_of(config: Mapping[str, Any]) -> int:
    """The experts that a router chooses from, by the JSON of a model's configuration: 0 of a dense model.

    A model of more than text has its language model's configuration in a section.
    """
    found = [config[key] for key in _KEYS if isinstance(config.get(key), int)]
    sections = [experts_of(section) for section in config.values() if isinstance(section, Mapping)]
    most = max((*found, *sections), default=0)
    return most if most > 1 else 0
