"""Signals of a made-up pool, over ranks that are threads: every collective method is a meeting of the ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.errors import StrategyFault, UnmetNeed
from dataflex_core.layers import ALL_LAYERS, last_layers
from dataflex_core.questions import as_ids, check_sampling
from dataflex_core.rows import Row
from dataflex_core.signals import Direction, Gathered, Generations, direction_of
from dataflex_core.spec import Need
from dataflex_core.testing import fakes
from dataflex_core.testing.errors import OutOfStep
from dataflex_core.testing.fakes import Sample
from dataflex_core.testing.ranks import Meeting

Ids = NDArray[np.int64]
Rows = NDArray[np.float32]

POOLINGS = ("mean", "last", "weighted")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FakeSignals:
    """`dataflex_core.Signals` of ``samples``, asked by one rank at one step; ``held`` are kept out, by domain.

    ``asked`` collects what of `Need` the questions belong to. A question that ranks do not ask alike raises
    `OutOfStep` on all of them.
    """

    samples: Sequence[Sample]
    subtasks: Mapping[str, Sequence[Sample]]
    step: int
    seed: int
    rank: int
    meeting: Meeting
    held: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    name: str = "signals"
    asked: set[Need] = field(default_factory=set)

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.samples)

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the target set's subtasks."""
        return tuple(self.subtasks)

    def target(self, name: str) -> FakeSignals:
        """The same facts about a subtask."""
        self.asked.add(Need.TARGET_SET)
        if name not in self.subtasks:
            raise UnmetNeed(f"the run has no target set {name}", hint=f"there are: {', '.join(self.targets) or 'none'}")
        return replace(self, samples=self.subtasks[name], name=f"{self.name}.target({name!r})")

    def holdout(self, domain: str) -> FakeSignals:
        """The same facts about what is kept out of a domain."""
        self.asked.add(Need.HOLDOUT)
        if domain not in self.held:
            raise UnmetNeed(f"nothing is kept out of {domain}", hint=f"there are: {', '.join(self.held) or 'none'}")
        return replace(self, samples=self.held[domain], name=f"{self.name}.holdout({domain!r})")

    def over(self, rows: Sequence[Mapping[str, Any]], name: str) -> FakeSignals:
        """The same facts about rows of one's own, whose content is part of every question about them."""
        held = [Sample.of(row) for row in rows]
        digest = _digest(*(sample.key for sample in held))
        return replace(self, samples=held, name=f"{self.name}.over({len(held)} rows {digest}, {name!r})")

    def shard(self, ids: Ids) -> Ids:
        """This rank's part: longest samples first, dealt out one by one, so that it is not in the order of ``ids``."""
        ids = as_ids(ids, len(self.samples))
        return ids[np.argsort(-self.lengths(ids), kind="stable")][self.rank :: self.meeting.world]

    def lengths(self, ids: Ids) -> Ids:
        """Tokens of each sample, Int64[n]."""
        return np.array([len(sample.tokens) for sample in self._asked(ids)], dtype=np.int64)

    def target_tokens(self, ids: Ids) -> Ids:
        """Target tokens of each sample, Int64[n]."""
        return np.array([len(sample.answer) for sample in self._asked(ids)], dtype=np.int64)

    def texts(self, ids: Ids) -> list[str]:
        """A word for each token of each sample."""
        return [fakes.text_of(sample.tokens) for sample in self._asked(ids)]

    def row(self, ids: Ids) -> list[tuple[Row, ...]]:
        """The rows of a made-up file; none for rows of one's own."""
        return [() if sample.row is None else (sample.row,) for sample in self._asked(ids)]

    def gather(self, ids: Ids, shard: Ids, values: Gathered) -> Gathered:
        """A row per ``ids``. Raises `OutOfStep` where the ranks' parts do not make up ``ids``, or differ in shape."""
        ids, shard = (as_ids(each, len(self.samples)) for each in (ids, shard))
        ragged = isinstance(values, list)
        rows = [np.array(row, dtype=np.float32) for row in values]
        # A rank without a sample still says what shape its rows would have.
        shape = "of any length" if ragged else np.shape(values)[1:]
        every = self._meet("gather", (ids, shard, rows, shape))
        for rank, (others, part, found, theirs) in enumerate(every):
            if not np.array_equal(others, every[0][0]):
                raise OutOfStep(f"{self.name}.gather(): rank {rank} gathers other ids than rank 0")
            if len(part) != len(found):
                raise OutOfStep(f"{self.name}.gather(): rank {rank} has {len(found)} rows for {len(part)} samples")
            if theirs != every[0][3]:
                raise OutOfStep(
                    f"{self.name}.gather(): a row of rank {rank} has shape {theirs}, one of rank 0 {every[0][3]}"
                )
        known = np.concatenate([part for _, part, _, _ in every]).astype(np.int64)
        if not np.array_equal(np.sort(known), np.sort(ids)):
            raise OutOfStep(f"{self.name}.gather(): the ranks' shards do not make up the ids")
        row_of = dict(zip(known.tolist(), (row for _, _, found, _ in every for row in found), strict=True))
        gathered = [row_of[i] for i in ids.tolist()]
        if isinstance(values, list):
            return gathered
        return np.array(gathered, dtype=np.float32).reshape(len(ids), *np.shape(values)[1:])

    def losses(self, shard: Ids, *, model: str | None = None) -> Rows:
        """Mean loss over each sample's target tokens, Float32[n]; NaN where it has none."""
        self._ask("losses", Need.LOSSES, model=model)
        found = [fakes.token_losses(sample, self.step, model) for sample in self._asked(shard)]
        return np.array([losses.mean() if losses.size else np.nan for losses in found], dtype=np.float32)

    def token_losses(self, shard: Ids, *, model: str | None = None) -> list[Rows]:
        """The loss of each target token."""
        self._ask("token_losses", Need.LOSSES, model=model)
        return [fakes.token_losses(sample, self.step, model) for sample in self._asked(shard)]

    def influence(self, shard: Ids, *, adam: bool = True, layers: str | float = ALL_LAYERS, refresh: int = 1) -> Rows:
        """Largest mean cosine with a target subtask's gradients, Float32[n]."""
        largest: Rows = self.influences(shard, adam=adam, layers=layers, refresh=refresh).max(axis=1)
        return largest

    def influences(
        self,
        shard: Ids,
        *,
        directions: Sequence[Direction] | None = None,
        adam: bool = True,
        layers: str | float = ALL_LAYERS,
        refresh: int = 1,
    ) -> Rows:
        """Mean cosine with each target subtask's gradients, or with each of ``directions``, Float32[n, K]."""
        q = self._directions("influences", directions, adam=adam, unit=True, layers=layers, refresh=refresh)
        return _compared([fakes.unit(vector) for vector in self._gradients(shard, adam=adam, layers=layers)], q)

    def alignments(
        self,
        shard: Ids,
        *,
        directions: Sequence[Direction] | None = None,
        adam: bool = True,
        layers: str | float = ALL_LAYERS,
        refresh: int = 1,
    ) -> Rows:
        """Product with each target subtask's mean gradient, or with each of ``directions``, Float32[n, K]."""
        q = self._directions("alignments", directions, adam=adam, unit=False, layers=layers, refresh=refresh)
        return _compared(self._gradients(shard, adam=adam, layers=layers), q)

    def direction(self, ids: Ids, weights: NDArray[np.floating[Any]]) -> Direction:
        """A direction for the two, made of these samples' gradients."""
        return direction_of(self.samples, len(self.samples), ids, weights)

    def products(self, a: Ids, b: Ids, *, adam: bool = True) -> Rows:
        """Products of samples' gradients with each other, Float32[len(a), len(b)]."""
        a, b = (as_ids(ids, len(self.samples)) for ids in (a, b))
        self._ask("products", Need.GRADIENTS, *_moments(adam), adam=adam, ids=_digest(a.tolist(), b.tolist()))
        return _compared(self._gradients(a, adam=adam), self._gradients(b, adam=adam))

    def gradients(
        self, shard: Ids, *, dim: int = 8192, adam: bool = True, unit: bool = True, keep_targets: bool = True
    ) -> Rows:
        """Projected gradients, Float32[n, dim]."""
        self._ask("gradients", Need.GRADIENTS, *_moments(adam), dim=dim, adam=adam, unit=unit, keep=keep_targets)
        plane = len(self.subtasks) if keep_targets else 0
        if dim <= plane:
            raise StrategyFault(f"{plane} subtasks do not fit into {dim} dimensions", hint="give a larger dim")
        own = self._gradients(shard, adam=adam)
        vectors = np.array([fakes.unit(vector) if unit else vector for vector in own])
        vectors = vectors.reshape(len(own), fakes.PARAMETERS)
        return fakes.projected(vectors, dim, self.seed).astype(np.float32)

    def embeddings(self, shard: Ids, *, layer: int = -1, pooling: str = "mean", model: str | None = None) -> Rows:
        """Pooled hidden states, Float32[n, WIDTH]."""
        self._ask("embeddings", Need.EMBEDDINGS, layer=layer, pooling=pooling, model=model)
        if pooling not in POOLINGS:
            raise StrategyFault(f"there is no pooling {pooling!r}", hint=f"use one of {', '.join(POOLINGS)}")
        view = {"layer": layer, "pooling": pooling, "model": model}
        found = [fakes.embedding(sample, self.step, view) for sample in self._asked(shard)]
        return np.array(found, dtype=np.float32).reshape(len(found), fakes.WIDTH)

    def expert_loads(self, shard: Ids) -> Rows:
        """Shares of each layer's choices, Float32[n, LAYERS * EXPERTS]."""
        self._ask("expert_loads", Need.EXPERT_LOADS)
        found = [fakes.expert_loads(sample, self.step) for sample in self._asked(shard)]
        return np.array(found, dtype=np.float32).reshape(len(found), fakes.LAYERS * fakes.EXPERTS)

    def generations(
        self,
        shard: Ids,
        *,
        count: int = 1,
        max_new_tokens: int = 128,
        temperature: float | None = None,
        top_p: float = 1.0,
    ) -> Generations:
        """``count`` completions of each sample's prompt."""
        sampling = {"count": count, "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p}
        self._ask("generations", Need.GENERATIONS, **sampling)
        check_sampling(count=count, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p)
        asked = self._asked(shard)
        drawn = ("greedy", self.step) if temperature is None else (self.seed, self.step)
        completions = [
            [list(fakes.completion(sample, max_new_tokens, *drawn, j)) for j in range(count)] for sample in asked
        ]
        return Generations(
            prompts=[list(sample.prompt) for sample in asked],
            completions=completions,
            texts=[[fakes.text_of(run) for run in runs] for runs in completions],
            references=[fakes.text_of(sample.answer) for sample in asked],
            prompt_texts=[fakes.text_of(sample.prompt) for sample in asked],
        )

    def _directions(
        self,
        method: str,
        directions: Sequence[Direction] | None,
        *,
        adam: bool,
        unit: bool,
        layers: str | float,
        refresh: int,
    ) -> list[fakes.Vector]:
        """What gradients are compared with, once all ranks have asked for it alike.

        There are no earlier decisions here: what ``refresh`` keeps is of the last step that it divides.
        """
        what, how = method.removesuffix("s"), {"adam": adam, "layers": layers, "refresh": refresh}
        last_layers(layers, fakes.LAYERS)
        if refresh < 1:
            raise StrategyFault(
                f"refresh is {refresh}", hint="give the number of decisions, 1 for a fresh pass at each"
            )
        if directions is None:
            self._ask(method, Need.GRADIENTS, Need.TARGET_SET, *_moments(adam), **how)
            if not self.subtasks:
                raise UnmetNeed(f"{what} needs a target set and the run has none", hint="set eval_dataset")
            then = self.step - self.step % refresh
            return [fakes.mean_gradient(rows, then, unit=unit, layers=layers) for rows in self.subtasks.values()]
        if not directions:
            raise StrategyFault(f"{what} is asked with no direction", hint="give one, or None for the target set")
        made_of = [(sample.key for sample in direction.samples) for direction in directions]
        numbers = [(*keys, d.ids.tolist(), d.weights.tolist()) for keys, d in zip(made_of, directions, strict=True)]
        self._ask(method, Need.GRADIENTS, *_moments(adam), **how, directions=_digest(*numbers))
        return [fakes.direction(d.samples, d.ids, d.weights, self.step, unit=unit, layers=layers) for d in directions]

    def _gradients(self, ids: Ids, *, adam: bool, layers: str | float = ALL_LAYERS) -> list[fakes.Vector]:
        return [fakes.gradient(sample, self.step, adam=adam, layers=layers) for sample in self._asked(ids)]

    def _asked(self, shard: Ids) -> list[Sample]:
        return [self.samples[i] for i in as_ids(shard, len(self.samples)).tolist()]

    def _ask(self, method: str, *needs: Need, **options: object) -> None:
        self.asked.update(needs)
        given = ", ".join(f"{name}={value!r}" for name, value in options.items() if value is not None)
        self._meet(method, None, given)

    def _meet(self, method: str, value: Any, options: str = "") -> list[Any]:
        return self.meeting.meet(self.rank, f"calls {self.name}.{method}({options})", value)


def _compared(own: Sequence[fakes.Vector], others: Sequence[fakes.Vector]) -> Rows:
    # One sum a pair: a matrix product's rounding may depend on how many samples a rank has.
    width = next((len(vector) for vector in (*own, *others)), fakes.PARAMETERS)
    rows, columns = (np.array(vectors).reshape(len(vectors), width) for vectors in (own, others))
    products: Rows = (rows[:, None] * columns).sum(axis=-1).astype(np.float32)
    return products


def _digest(*told: object) -> str:
    return sha256(repr(told).encode()).hexdigest()[:8]


def _moments(adam: bool) -> tuple[Need, ...]:
    return (Need.MOMENTS,) if adam else ()
