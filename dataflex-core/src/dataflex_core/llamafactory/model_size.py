"""How large the model is that a run trains, without loading it."""

from __future__ import annotations

from typing import Any

from dataflex_core.llamafactory.args import RunArgs


def layers_of_model(args: RunArgs) -> int | None:
    """Its transformer layers, by its configuration; None where that cannot be read or does not say."""
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(args.model, trust_remote_code=args.trust_remote_code)
        return int(config.get_text_config().num_hidden_layers)
    except (OSError, ValueError, AttributeError, TypeError):
        return None
