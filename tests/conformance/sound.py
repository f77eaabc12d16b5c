"""Strategies that ask for everything there is, draw, and remember: nothing is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from conformance.light import Params
from dataflex_core import (
    Kind,
    Mixer,
    Mixture,
    Need,
    NoParams,
    ScoringSelector,
    Selection,
    Selector,
    StrategySpec,
    Weighter,
    Weights,
    hookimpl,
    top,
)


@hookimpl
def dataflex_strategies() -> Iterator[StrategySpec]:
    """One of each kind."""
    asked = {
        Kind.SELECTOR: set(Need) - {Need.TRAINING_LOSSES, Need.LOSS_WEIGHTS, Need.TARGET_TOKENS},
        Kind.MIXER: {Need.LOSSES, Need.TARGET_SET, Need.LOSS_WEIGHTS, Need.REFERENCE_LOSSES},
        Kind.WEIGHTER: {Need.LOSSES, Need.TARGET_TOKENS, Need.REFERENCE_LOSSES},
    }
    for kind, needs in asked.items():
        yield StrategySpec(
            kind=kind,
            name="sound",
            target=f"conformance.sound:Sound{kind.value.capitalize()}",
            params="conformance.light:Params",
            summary="asks for everything",
            needs=needs,
        )


def embeddings(params):
    """More than the spec says."""
    return {Need.EMBEDDINGS}


SELDOM = StrategySpec(
    kind=Kind.MIXER, name="seldom", target="conformance.sound:SeldomMixer", summary="is equal, with rare exceptions"
)
SPARSE = StrategySpec(
    kind=Kind.MIXER, name="sparse", target="conformance.sound:SparseMixer", summary="leaves out domains in turn"
)
COLUMNS = StrategySpec(
    kind=Kind.SELECTOR,
    name="columns",
    target="conformance.sound:ColumnsSelector",
    summary="chooses by several columns",
    needs_for="conformance.sound:embeddings",
)
CURRICULUM = StrategySpec(
    kind=Kind.SELECTOR,
    name="curriculum",
    target="conformance.sound:CurriculumSelector",
    summary="says the order",
    whole_pool=True,
)
APART = StrategySpec(
    kind=Kind.WEIGHTER,
    name="apart",
    target="conformance.sound:ApartWeighter",
    summary="looks at one sample at a time",
    compares=False,
)
DIVERSE = StrategySpec(
    kind=Kind.SELECTOR,
    name="diverse",
    target="conformance.sound:DiverseSelector",
    summary="compares gradients without a target set",
    needs={Need.GRADIENTS},
)
OTHERS = (SELDOM, SPARSE, COLUMNS, CURRICULUM, APART, DIVERSE)
"""What no strategy can do together with everything else."""


class SeldomMixer(Mixer[NoParams]):
    """Explores: draws at every decision, and acts on it at one in twenty."""

    def mix(self, request):
        proportions = np.ones(len(request.domains))
        if request.rng.random() < 0.05:
            proportions[0] += 1
        return proportions


class SparseMixer(Mixer[NoParams]):
    """Wants nothing of every third domain, in turn."""

    def mix(self, request):
        left_out = (np.arange(len(request.domains)) + request.progress.decision) % 3 == 0
        return np.where(left_out & (len(request.domains) > 1), 0.0, 1.0 + np.arange(len(request.domains)))


class ColumnsSelector(ScoringSelector[NoParams]):
    """Chooses by the largest of the first numbers of an embedding; keeps no parameters."""

    def __init__(self, params):
        pass

    def score(self, request, shard):
        return request.signals.embeddings(shard)[:, :3]

    def choose(self, request, scores):
        return Selection(ids=top(request.candidates, scores.max(axis=1), request.count))


class CurriculumSelector(Selector[NoParams]):
    """Goes through the pool from its end, in steps that grow with the losses of training; says the order and why."""

    def setup(self, context):
        self.places, self.seen = np.zeros(context.pool), 0.0

    def observe(self, step):
        self.seen += float(np.nansum(step.losses))
        self.places[step.ids] += 1

    def select(self, request):
        hardness = request.candidates * (1.0 + 1e-3 * self.seen) - self.places[request.candidates]
        order = np.argsort(-hardness, kind="stable")[: request.count]
        return Selection(
            ids=request.candidates[order],
            ordered=True,
            scores=hardness[order].astype(np.float32),
            notes={"hardest": float(hardness.max()), "seen": self.seen},
        )

    def state_dict(self):
        return {"places": self.places.copy(), "seen": self.seen}

    def load_state_dict(self, state):
        self.places, self.seen = state["places"].copy(), state["seen"]


class DiverseSelector(Selector[NoParams]):
    """Goes away from what the first candidates have in common, by those of them that have a gradient."""

    def select(self, request):
        signals, first = request.signals, request.candidates[:8]
        norms = np.diag(signals.products(first, first, adam=False))
        known, shard = first[np.isfinite(norms)], signals.shard(request.candidates)
        scores = np.zeros(len(shard), dtype=np.float32)
        if len(known):
            common = signals.direction(known, np.full(len(known), 1 / len(known)))
            scores -= signals.alignments(shard, directions=[common], adam=False)[:, 0]
        gathered = signals.gather(request.candidates, shard, scores)
        chosen = top(request.candidates, gathered, request.count)
        return Selection(ids=chosen, scores=gathered[np.searchsorted(request.candidates, chosen)])


class ApartWeighter(Weighter[NoParams]):
    """Weighs tokens by their own losses."""

    def weigh(self, request, losses):
        return Weights(values=losses.values.sigmoid(), notes={"tokens": float(losses.mask.sum())})


class SoundSelector(ScoringSelector[Params]):
    """Draws among the samples whose loss has fallen since it first saw them, and that every other signal likes."""

    def __init__(self, params):
        super().__init__(params)
        self.first: dict[str, float] = {}
        self.excess = 0.0

    def observe(self, step):
        self.excess = 0.9 * self.excess + 0.1 * float(step.excess.sum())

    def score(self, request, shard):
        signals = request.signals
        fallen = signals.losses(shard, model="base") - signals.losses(shard)
        hardest = np.array([losses.max(initial=0.0) for losses in signals.token_losses(shard)])
        liked = signals.influence(shard) + signals.influences(shard).mean(axis=1)
        held = signals.target(signals.targets[0])
        every = np.arange(len(held))
        mine = held.shard(every)
        liked += signals.influences(shard, directions=[held.direction(every, np.eye(len(held)))])[:, 0]
        liked += signals.alignments(shard).mean(axis=1)
        alike = np.nan_to_num(signals.products(request.candidates[:4], request.candidates[:6])).mean()
        directions = held.gather(every, mine, held.gradients(mine, dim=16, adam=False))
        vectors = signals.gradients(shard, dim=16) @ np.nanmean(directions, axis=0)
        places = signals.embeddings(shard, pooling="weighted")
        made = signals.generations(shard, count=2, temperature=1.0)
        right = [
            np.mean([text == told for text in texts]) for texts, told in zip(made.texts, made.references, strict=True)
        ]
        rows = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "attention_mask": [1, 1, 1]}] * 3
        own = signals.over(rows, "own rows").losses(np.arange(3)).mean()
        apart = signals.holdout(request.domains[0].name)
        own += np.nan_to_num(apart.losses(np.arange(len(apart)))).mean()
        table = [fallen, hardest, liked, vectors, places[:, 0], np.array(right, dtype=np.float32)]
        return np.sum([column.astype(np.float32) for column in table], axis=0) + own + alike

    def choose(self, request, scores):
        gone = []
        for sample, score in zip(request.candidates.tolist(), scores.tolist(), strict=True):
            gone.append(score - self.first.setdefault(str(sample), score))
        noise = request.rng.gumbel(size=len(scores))
        chosen = top(request.candidates, scores + np.array(gone) * (1 + self.excess) + noise, request.count)
        return Selection(ids=chosen, notes={"excess": self.excess})

    def state_dict(self):
        return {"first": dict(self.first), "excess": self.excess}

    def load_state_dict(self, state):
        self.first, self.excess = dict(state["first"]), state["excess"]


class SoundMixer(Mixer[Params]):
    """A running mean of each domain's loss, above that of the target set; domains weigh what exceeds a reference."""

    def setup(self, context):
        self.means, self.seen = np.ones(len(context.domains)), 0
        self.excess = np.ones(len(context.domains))

    def observe(self, step):
        drawn = step.tokens_by_domain > 0
        self.means[drawn] = 0.9 * self.means[drawn] + 0.1 * step.loss_by_domain[drawn] / step.tokens_by_domain[drawn]
        self.seen += 1
        self.excess = 0.9 * self.excess + 0.1 * step.excess_by_domain / np.maximum(step.tokens_by_domain, 1)

    def mix(self, request):
        signals = request.signals
        held = signals.target(signals.targets[-1])
        every = np.arange(len(held))
        mine = held.shard(every)
        goal = np.nanmean(held.gather(every, mine, held.losses(mine)))
        jitter = request.rng.uniform(0.9, 1.1, size=len(request.domains))
        return Mixture(
            proportions=np.maximum(self.means - goal, 0.01) * jitter * (1 + request.mean),
            loss_weights=0.1 + self.excess,
            notes={"seen": self.seen, "goal": float(np.nan_to_num(goal))},
        )

    def state_dict(self):
        return {"means": self.means.copy(), "seen": self.seen, "excess": self.excess.copy()}

    def load_state_dict(self, state):
        self.means, self.seen = state["means"].copy(), state["seen"]
        self.excess = state["excess"].copy()


class SoundWeighter(Weighter[Params]):
    """Weighs tokens by how far they are above the reference, an anchor and a running mean of losses."""

    mean: float | None = None
    anchor = 0.0

    def prepare(self, request):
        shard = request.signals.shard(request.ids)
        known = request.signals.gather(request.ids, shard, request.signals.losses(shard))
        self.anchor = float(np.nan_to_num(known).mean()) + 0.1 * request.rng.random()

    def observe(self, step):
        self.anchor += 0.01 * float(step.excess.mean())

    def weigh(self, request, losses):
        import torch

        if bool(losses.mask.any()):
            now = float(losses.values[losses.mask].mean())
            self.mean = now if self.mean is None else 0.9 * self.mean + 0.1 * now
        jitter = torch.from_numpy(request.rng.uniform(0.9, 1.1, size=tuple(losses.values.shape))).float()
        above = losses.values - request.reference.values - (self.mean or 0.0) + self.anchor
        odd = 1 + (request.targets % 2)
        values = (above.sigmoid() * jitter * odd).masked_fill(~losses.mask, 0.0)
        return Weights(values=values, notes={"anchor": self.anchor})

    def state_dict(self):
        return {"mean": self.mean, "anchor": self.anchor}

    def load_state_dict(self, state):
        self.mean, self.anchor = state["mean"], state["anchor"]
