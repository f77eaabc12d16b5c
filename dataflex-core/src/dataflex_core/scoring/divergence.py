"""A model that has diverged: its losses, and soon its weights, are no numbers any more."""

from __future__ import annotations

import torch
from torch import nn

from dataflex_core.errors import RunFailed
from dataflex_core.scoring.sharded import part_of


def diverged(step: int, what: str) -> RunFailed:
    """The error for a run that nothing can come of any more, as ``what`` shows after optimizer step ``step``."""
    return RunFailed(
        f"training has diverged at step {step}: {what}",
        hint="lower the learning_rate, give it a longer warm-up or a lower max_grad_norm; checkpoints from before are "
        "whole",
    )


def weights_are_dead(model: nn.Module) -> bool:
    """Whether a weight that trains is NaN or infinite: no step brings it back. Of this rank's part, where sharded."""
    parts = (part_of(parameter.detach()) for parameter in model.parameters() if parameter.requires_grad)
    return not all(bool(torch.isfinite(part).all()) for part in parts)
