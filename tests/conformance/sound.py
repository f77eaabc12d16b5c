"""Strategies that ask for everything there is, draw, and remember: nothing is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dataflex_core import (
    Kind,
    Mixer,
    Need,
    NoParams,
    ScoringSelector,
    Selection,
    StrategySpec,
    Weighter,
    hookimpl,
    top,
)


@hookimpl
def dataflex_strategies() -> Iterator[StrategySpec]:
    """One of each kind."""
    asked = {
        Kind.SELECTOR: set(Need) - {Need.TRAINING_LOSSES, Need.LOSS_WEIGHTS, Need.REFERENCE_LOSSES, Need.TARGET_TOKENS},
        Kind.MIXER: {Need.TRAINING_LOSSES, Need.LOSSES, Need.TARGET_SET},
        Kind.WEIGHTER: {Need.TRAINING_LOSSES},
    }
    for kind, needs in asked.items():
        target = f"conformance.sound:Sound{kind.value.capitalize()}"
        yield StrategySpec(kind=kind, name="sound", target=target, summary="asks for everything", needs=needs)


SELDOM = StrategySpec(
    kind=Kind.MIXER, name="seldom", target="conformance.sound:SeldomMixer", summary="is equal, with rare exceptions"
)


class SeldomMixer(Mixer[NoParams]):
    """Explores: draws at every decision, and acts on it at one in twenty."""

    def mix(self, request):
        proportions = np.ones(len(request.domains))
        if request.rng.random() < 0.05:
            proportions[0] += 1
        return proportions


class SoundSelector(ScoringSelector[NoParams]):
    """Draws among the samples whose loss has fallen since it first saw them, and that every other signal likes."""

    def __init__(self, params):
        super().__init__(params)
        self.first: dict[str, float] = {}

    def score(self, request, shard):
        signals = request.signals
        fallen = signals.losses(shard, model="base") - signals.losses(shard)
        hardest = np.array([losses.max(initial=0.0) for losses in signals.token_losses(shard)])
        liked = signals.influence(shard) + signals.influences(shard).mean(axis=1)
        held = signals.target(signals.targets[0])
        every = np.arange(len(held))
        mine = held.shard(every)
        directions = held.gather(every, mine, held.gradients(mine, dim=16, adam=False))
        vectors = signals.gradients(shard, dim=16) @ np.nanmean(directions, axis=0)
        places = signals.embeddings(shard, pooling="weighted")
        made = signals.generations(shard, count=2, temperature=1.0)
        right = [
            np.mean([text == told for text in texts]) for texts, told in zip(made.texts, made.references, strict=True)
        ]
        rows = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "attention_mask": [1, 1, 1]}] * 3
        own = signals.over(rows, "own rows").losses(np.arange(3)).mean()
        table = [fallen, hardest, liked, vectors, places[:, 0], np.array(right, dtype=np.float32)]
        return np.sum([column.astype(np.float32) for column in table], axis=0) + own

    def choose(self, request, scores):
        gone = []
        for sample, score in zip(request.candidates.tolist(), scores.tolist(), strict=True):
            gone.append(score - self.first.setdefault(str(sample), score))
        noise = request.rng.gumbel(size=len(scores))
        return Selection(ids=top(request.candidates, scores + np.array(gone) + noise, request.count))

    def state_dict(self):
        return {"first": dict(self.first)}

    def load_state_dict(self, state):
        self.first = dict(state["first"])


class SoundMixer(Mixer[NoParams]):
    """A running mean of each domain's loss, above that of the target set."""

    def setup(self, context):
        self.means, self.seen = np.ones(len(context.domains)), 0

    def observe(self, step):
        drawn = step.tokens_by_domain > 0
        self.means[drawn] = 0.9 * self.means[drawn] + 0.1 * step.loss_by_domain[drawn] / step.tokens_by_domain[drawn]
        self.seen += 1

    def mix(self, request):
        signals = request.signals
        held = signals.target(signals.targets[-1])
        every = np.arange(len(held))
        mine = held.shard(every)
        goal = np.nanmean(held.gather(every, mine, held.losses(mine)))
        jitter = request.rng.uniform(0.9, 1.1, size=len(request.domains))
        return np.maximum(self.means - goal, 0.01) * jitter * (1 + request.mean)

    def state_dict(self):
        return {"means": self.means.copy(), "seen": self.seen}

    def load_state_dict(self, state):
        self.means, self.seen = state["means"].copy(), state["seen"]


class SoundWeighter(Weighter[NoParams]):
    """Weighs tokens by how far they are above a running mean of losses."""

    mean: float | None = None

    def weigh(self, request, losses):
        import torch

        if bool(losses.mask.any()):
            now = float(losses.values[losses.mask].mean())
            self.mean = now if self.mean is None else 0.9 * self.mean + 0.1 * now
        jitter = torch.from_numpy(request.rng.uniform(0.9, 1.1, size=tuple(losses.values.shape))).float()
        return ((losses.values - (self.mean or 0.0)).sigmoid() * jitter).masked_fill(~losses.mask, 0.0)

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]
