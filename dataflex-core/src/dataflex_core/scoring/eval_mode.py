"""Leaving the model as it was found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

_PACKS = "support_avx512bf16_for_cpu"
"""What layers of bitsandbytes' 4 bits have: in eval mode, on some processors, they pack their weights for inference,
for good, and no gradient passes them again. Nothing else of theirs goes by the mode."""


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put ``model`` in eval mode, and restore every module's mode and all random state, also when the body raises.

    Eval mode turns off dropout and, in transformers' models, gradient checkpointing.
    """
    modes = [(module, module.training) for module in model.modules()]
    with random_state_kept():
        model.eval()
        for module, _ in modes:
            module.training |= _PACKS in vars(module)
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the random state of Python, numpy and torch, on all devices, also when the body raises."""
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
