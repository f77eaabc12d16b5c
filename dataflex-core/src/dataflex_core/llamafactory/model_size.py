"""How large the model is that a run trains, and how many experts it has, without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataflex_core.experts import experts_of
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.others_files import json_of


def experts_of_folder(folder: str) -> int | None:
    """The experts of the model in a folder: 0 of a dense one; None where no configuration lies there to be read."""
    try:
        config = json_of((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return experts_of(config) if isinstance(config, dict) else None


def experts_of_model(args: RunArgs) -> int | None:
    """The same, of a model of the hub too."""
    config = _configuration(args)
    return None if config is None else experts_of(config.to_dict())


def layers_of_model(args: RunArgs) -> int | None:
    """Its transformer layers, by its configuration; None where that cannot be read or does not say."""
    config = _configuration(args)
    try:
        return None if config is None else int(config.get_text_config().num_hidden_layers)
    except (AttributeError, TypeError):
        return None


def _configuration(args: RunArgs) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(args.model, trust_remote_code=args.trust_remote_code)
    except (OSError, ValueError, AttributeError, TypeError):
        return None
