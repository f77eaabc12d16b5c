"""A plugin whose selector asks for every signal there is, and writes down what it was told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataflex_core import Kind, Need, ScoringSelector, Selection, StrategySpec, hookimpl, top

COLUMNS = (
    "loss",
    "excess",
    "first token",
    "influence",
    "bank",
    "embedding",
    "separate",
    "length",
    "own",
    "tokens",
    "text",
    "own direction",
    "alignment",
    "ragged",
    "product",
)


@hookimpl
def dataflex_strategies():
    """The one strategy of this plugin."""
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="every-signal",
        target="every_signal:EverySignal",
        params="every_signal:Params",
        summary="asks for every signal",
        needs={Need.LOSSES, Need.GRADIENTS, Need.MOMENTS, Need.EMBEDDINGS, Need.GENERATIONS, Need.TARGET_SET},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Where to write, and a model of its own for embeddings."""

    folder: str
    encoder: str


class EverySignal(ScoringSelector[Params]):
    """Gathers a table, Float32[N, columns], over all ranks, and selects by its first column."""

    def score(self, request, shard):
        signals = request.signals
        losses = signals.losses(shard)
        base = signals.losses(shard, model="base")
        tokens = np.array([values[0] for values in signals.token_losses(shard)], dtype=np.float32)
        influence = signals.influence(shard)
        bank = signals.gradients(shard)
        held = signals.target(signals.targets[0])
        every = np.arange(len(held))
        mine = held.shard(every)
        direction = held.gather(every, mine, held.gradients(mine, adam=False)).mean(axis=0)
        weights = np.linspace(-1, 1, len(held))
        own_direction = signals.influences(shard, directions=[held.direction(every, weights)])[:, 0]
        alignment = signals.alignments(shard, adam=False)[:, 0]
        embedded = signals.embeddings(shard, pooling="weighted")
        separate = signals.embeddings(shard, layer=1, model=self.params.encoder)
        made = signals.generations(shard, max_new_tokens=6)
        lengths = np.array([len(runs[0]) for runs in made.completions])
        # Rows of one's own are the same on all ranks: here those of the first rank's prompts would differ.
        rows = [{"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8], "attention_mask": [1] * 4}] * 3
        own = signals.over(rows, "own rows").losses(np.arange(3)).mean()
        columns = [losses, losses - base, tokens, influence, bank @ direction, embedded[:, 0], separate[:, 0], lengths]
        columns += [np.full(len(shard), own), signals.lengths(shard), [len(text) for text in signals.texts(shard)]]
        columns += [own_direction, alignment]
        table = signals.gather(request.candidates, shard, np.stack(columns, axis=1))
        ragged = signals.gather(request.candidates, shard, signals.token_losses(shard))
        products = signals.products(request.candidates, request.candidates)
        norms = np.sqrt(np.diag(products))
        apart = [values[-1] * len(values) for values in ragged]
        self.table = np.column_stack([table, apart, products[:, 0] / norms / norms[0]])
        Path(self.params.folder).mkdir(exist_ok=True)
        np.save(Path(self.params.folder) / f"{request.progress.step}.npy", self.table)
        self.texts = made
        return losses

    def choose(self, request, scores):
        return Selection(ids=top(request.candidates, scores, request.count))
