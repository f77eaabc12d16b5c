"""Strategies that break their contracts, one each, and one mixer that only watches."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from dataflex_core import Kind, Mixer, ScoringSelector, Selection, Selector, StrategySpec, Weighter
from dataflex_core.catalog import Catalog, Record


class ForeignSelector(Selector):
    def select(self, request):
        return Selection(ids=np.arange(10_000, 10_000 + request.count))


class TwiceSelector(Selector):
    def select(self, request):
        return Selection(ids=np.repeat(request.candidates[:1], 2))


class GreedySelector(Selector):
    def select(self, request):
        return Selection(ids=request.candidates)


class FloatSelector(Selector):
    def select(self, request):
        return Selection(ids=request.candidates[:2] / 2)


class NothingSelector(ScoringSelector):
    def score(self, request, shard):
        return np.full(len(shard), np.nan, dtype=np.float32)


class ShortSelector(ScoringSelector):
    def score(self, request, shard):
        return np.zeros(len(shard) - 1, dtype=np.float32)


class LacksSelector(ScoringSelector):
    pass


class StrangeSelector:
    pass


class FewSelector(Selector):
    def select(self, request):
        return Selection(ids=request.candidates[:5], ordered=True)


class NanMixer(Mixer):
    def mix(self, request):
        return [np.nan, 1.0]


class WideMixer(Mixer):
    def mix(self, request):
        return [1.0, 1.0, 1.0]


class NegativeWeighter(Weighter):
    def weigh(self, request, losses):
        return -torch.ones(len(losses.values))


class RaisingWeighter(Weighter):
    def weigh(self, request, losses):
        raise ZeroDivisionError("by a weighter")


class WholeWeighter(Weighter):
    def weigh(self, request, losses):
        return torch.ones(len(losses.values), dtype=torch.complex64)


class QuittingWeighter(Weighter):
    """Ends the process, as scripts do, when its second interval begins."""

    def prepare(self, request):
        if request.progress.step > 2:
            raise SystemExit(3)

    def weigh(self, request, losses):
        return torch.ones(len(losses.values))


class MuteSelector(Selector):
    def select(self, request):
        """Forget to answer."""


class RaggedSelector(Selector):
    def select(self, request):
        return Selection(ids=[[1, 2], [3]])


class ScorelessSelector(ScoringSelector):
    def score(self, request, shard):
        """Forget to answer."""


class RaisingSelector(Selector):
    def select(self, request):
        return Selection(ids=request.candidates[[1_000_000]])


class MuteMixer(Mixer):
    def mix(self, request):
        """Forget to answer."""


class WordyMixer(Mixer):
    def mix(self, request):
        return {domain.name: 1.0 for domain in request.domains}


class RaisingMixer(Mixer):
    def mix(self, request):
        raise KeyError("mine")


class GradientlessSelector(Selector):
    """Turns gradients off for good, which training needs."""

    def select(self, request):
        torch.set_grad_enabled(False)
        return Selection(ids=request.candidates[: request.count])


class HalfMixer(Mixer):
    """Has torch make tensors of another dtype, wherever one is made from then on."""

    def mix(self, request):
        torch.set_default_dtype(torch.bfloat16)
        return np.ones(len(request.domains))


class ZeroFirstWeighter(Weighter):
    """Weighs the first sample of each micro-batch with nothing, token by token."""

    def weigh(self, request, losses):
        weights = torch.ones_like(losses.values)
        weights[0] = 0
        return weights


class SilentSelector(ScoringSelector):
    """Asks for losses, and does not declare it."""

    def score(self, request, shard):
        return request.signals.losses(shard)


class WatchingMixer(Mixer):
    """Keeps what it observes where a test finds it."""

    seen: ClassVar[list] = []

    def observe(self, step):
        self.seen.append(step)

    def mix(self, request):
        return request.previous


class RememberingMixer(Mixer):
    """Proportions that follow from all losses it has observed: they differ if a single one was lost."""

    def setup(self, context):
        self.sums = np.ones(len(context.domains))
        self.seen = 0

    def observe(self, step):
        self.sums = self.sums + step.loss_by_domain
        self.seen += 1

    def mix(self, request):
        assert abs(request.mean.sum() - 1) < 1e-9
        return self.sums + self.seen

    def state_dict(self):
        return {"sums": self.sums, "seen": self.seen}

    def load_state_dict(self, state):
        self.sums, self.seen = state["sums"], state["seen"]


_KINDS = {"Selector": Kind.SELECTOR, "Mixer": Kind.MIXER, "Weighter": Kind.WEIGHTER}


def catalog() -> Catalog:
    """Every class above, named for its adjective."""
    records = []
    for name, value in list(globals().items()):
        for suffix, kind in _KINDS.items():
            if name.endswith(suffix) and name != suffix and name != f"Scoring{suffix}" and isinstance(value, type):
                spec = StrategySpec(
                    kind=kind,
                    name=name.removesuffix(suffix).lower(),
                    target=f"broken_plugin:{name}",
                    summary=name,
                )
                records.append(Record(spec=spec, distribution="broken", version="0"))
    return Catalog(records=tuple(records))
