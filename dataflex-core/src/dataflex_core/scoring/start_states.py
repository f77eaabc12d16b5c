"""What the model that a run starts from makes of a sample: its last hidden states, pooled and folded.

A vector of at most 512 numbers a sample, in half precision: a kilobyte, whatever the width of the model.
"""

from __future__ import annotations

from functools import cache

import torch

from dataflex_core.rng import derive

WIDTH = 512
VERSION = 1
"""Counted up when what the numbers mean changes."""


def width_of(hidden: int) -> int:
    """How many numbers a model of that hidden size gives."""
    return min(hidden, WIDTH)


def folded(states: torch.Tensor) -> torch.Tensor:
    """Float32[B, H] as Float32[B, `width_of(H)`]: turned at random where H is more, which keeps products on average.

    The same in every run: what is stored serves other runs, whatever their seed.
    """
    hidden = states.shape[1]
    if hidden <= WIDTH:
        return states
    turned: torch.Tensor = states.float() @ _fold(hidden).to(states.device)
    return turned


@cache
def _fold(hidden: int) -> torch.Tensor:
    drawn = derive("start states", hidden).standard_normal((hidden, WIDTH)) / WIDTH**0.5
    return torch.from_numpy(drawn.astype("f4"))
