"""A plugin whose strategies answer otherwise on every rank, as those do that draw from a generator of their own."""

from __future__ import annotations

import os

import numpy as np
import torch

from dataflex_core import Kind, Mixer, Need, Selection, Selector, StrategySpec, Weighter, hookimpl

RANK = int(os.environ.get("RANK", "0"))


@hookimpl
def dataflex_strategies():
    """One of each kind."""
    for kind in Kind:
        needs = {Need.TRAINING_LOSSES} if kind is Kind.WEIGHTER else set()
        target = f"disagreeing:Own{kind.value.capitalize()}"
        yield StrategySpec(kind=kind, name=f"own-{kind.value}", target=target, summary="its own draw", needs=needs)


class OwnSelector(Selector):
    def select(self, request):
        return Selection(ids=np.roll(request.candidates, RANK)[: request.count])


class OwnMixer(Mixer):
    def mix(self, request):
        return np.arange(1, 1 + len(request.domains)) + RANK


class OwnWeighter(Weighter):
    def weigh(self, request, losses):
        return torch.arange(1, 1 + len(losses.values)).float() ** (1 + RANK)
