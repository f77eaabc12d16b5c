"""A curriculum: the whole pool once from easy to hard, a slice at each decision (after Bengio et al., 2009)."""

from __future__ import annotations

from dataflex_core import Kind, Need, NoParams, Selection, Selector, StrategySpec, hookimpl


@hookimpl
def dataflex_strategies():
    """The one strategy of this file."""
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="easy-first",
        target="curriculum:Curriculum",
        summary="from low to high loss, in an order that is made once",
        needs={Need.LOSSES},
        cost_of="curriculum:cost",
        whole_pool=True,
    )


def cost(params, request):
    """A forward pass of each sample, once."""
    return 1 / 3 if request.decision == 1 else 0.0


class Curriculum(Selector[NoParams]):
    """Orders the pool by loss at the first decision, and has each decision train the next slice, in order."""

    def setup(self, context):
        """No order yet."""
        self.order = self.left = None

    def select(self, request):
        """The easiest samples that are left; all are again where too few are."""
        import numpy as np

        if self.order is None:
            every = np.arange(len(request.signals))
            shard = request.signals.shard(every)
            losses = request.signals.gather(every, shard, request.signals.losses(shard))
            order = losses.argsort(kind="stable")
            self.order = self.left = order[~np.isnan(losses[order])]
        chosen = self.left[np.isin(self.left, request.candidates)][: request.count]
        self.left = self.left[~np.isin(self.left, chosen)]
        if len(chosen) < request.count:
            anew = self.order[np.isin(self.order, request.candidates)]
            more = anew[~np.isin(anew, chosen)][: request.count - len(chosen)]
            chosen = np.concatenate([chosen, more])
            self.left = np.concatenate([self.left, anew[~np.isin(anew, more)]])
        return Selection(ids=chosen, ordered=True)

    def state_dict(self):
        return {"order": self.order, "left": self.left}

    def load_state_dict(self, state):
        self.order, self.left = state["order"], state["left"]
