"""`dataflex_core.Signals`, computed with the model in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.errors import StrategyFault, UnmetNeed
from dataflex_core.questions import as_ids
from dataflex_core.references import BASE
from dataflex_core.rows import Row
from dataflex_core.scoring.divergence import diverged
from dataflex_core.scoring.embeddings import POOLINGS, embed
from dataflex_core.scoring.engine import Ragged, Task
from dataflex_core.scoring.eval_mode import eval_mode
from dataflex_core.scoring.expert_loads import routed
from dataflex_core.scoring.generations import Sampling, complete, split_answer
from dataflex_core.scoring.gradient_signals import GradientSignals, Rows
from dataflex_core.scoring.losses import at_targets, sample_means, token_losses
from dataflex_core.scoring.models import Encoder
from dataflex_core.scoring.results import Part, in_order, split_runs
from dataflex_core.scoring.samples import Batch, Ids, Samples
from dataflex_core.scoring.start_states import VERSION, folded, width_of
from dataflex_core.signals import Gathered, Generations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StartStates:
    """``rows`` Float32[n, W] of n samples; ``key`` names model and question; ``passed`` samples took a forward pass."""

    rows: Rows
    key: str
    passed: int


class ModelSignals(GradientSignals):
    """`dataflex_core.Signals` of some samples: the pool, a subtask of the target set, or a strategy's own.

    What its methods raise is said there.
    """

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self._samples)

    def target(self, name: str) -> ModelSignals:
        """Signals of a target subtask's samples. Raises `UnmetNeed` where none has that name."""
        for samples in self._context.targets:
            if samples.name == name:
                return ModelSignals(self._context, samples)
        raise UnmetNeed(f"the run has no target set {name}", hint=f"there are: {', '.join(self.targets) or 'none'}")

    def holdout(self, domain: str) -> ModelSignals:
        """Signals of what is kept out of a domain. Raises `UnmetNeed` where nothing of that name is."""
        if domain not in self._context.holdout:
            held = ", ".join(self._context.holdout)
            hint = f"there are: {held}" if held else "set dataflex.holdout: 0.02"
            raise UnmetNeed(f"the run keeps no samples of {domain} out of training", hint=hint)
        return ModelSignals(self._context, self._context.holdout[domain])

    def over(self, rows: Sequence[Mapping[str, Any]], name: str) -> ModelSignals:
        """Signals of tokenised samples of one's own; ``name`` is for people, and for partial results."""
        return ModelSignals(self._context, Samples(name=name, dataset=rows, own=True))

    def new_decision(self, step: int) -> None:
        """Forget what was computed with the model as it was before ``step``; called on every rank."""
        self._context.new_decision(step)
        if self._context.engine.store is not None:
            self._context.engine.store.begin(step)

    def state(self) -> dict[str, Any]:
        """What is kept for later decisions, for a checkpoint: the same on every rank."""
        context = self._context
        return context.directions.state(dict(context.models.training.named_parameters()))

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self._context.directions.load(state)

    def shard(self, ids: Ids) -> Ids:
        """This rank's part of ``ids``, by whole batches."""
        return self._context.engine.shard(self._samples, self._asked(ids))

    def lengths(self, ids: Ids) -> Ids:
        """Tokens of each sample, Int64[n]."""
        return self._samples.lengths()[self._asked(ids)]

    def target_tokens(self, ids: Ids) -> Ids:
        """Target tokens of each sample, Int64[n]."""
        return self._samples.target_tokens()[self._asked(ids)]

    def texts(self, ids: Ids) -> list[str]:
        """Each sample decoded, without special tokens."""
        dataset, decode = self._samples.dataset, self._context.models.tokenizer.decode
        return [str(decode(dataset[int(i)]["input_ids"], skip_special_tokens=True)) for i in self._asked(ids)]

    def row(self, ids: Ids) -> list[tuple[Row, ...]]:
        """The rows of the data's files that each sample was made of."""
        return self._samples.rows(self._asked(ids))

    def gather(self, ids: Ids, shard: Ids, values: Gathered) -> Gathered:
        """Float32[N, ...], one row per ``ids``, from every rank's shard; of a list of arrays a list."""
        ids, found = self._asked(ids), self._everyones(self._asked(shard))
        if not isinstance(values, list):
            return in_order(ids, found, self._everyones(np.asarray(values, dtype=np.float32)))
        counts = self._everyones(np.array([len(row) for row in values], dtype=np.int64))
        flat = self._everyones(np.concatenate([np.zeros(0), *values]).astype(np.float32))
        return split_runs(Part(ids=found, values=flat, lengths=counts[:, None]).of(ids))

    def _asked(self, ids: Ids) -> Ids:
        return as_ids(ids, len(self._samples))

    def _everyones(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate(self._context.engine.ranks.gather_arrays(values))

    def losses(self, shard: Ids, *, model: str | None = None) -> Rows:
        """Mean loss over each sample's target tokens, Float32[n]; NaN where it has none."""
        context = self._context
        with eval_mode(context.models.training), torch.no_grad(), context.models.reference(model) as judge:
            task = Task(
                what="losses",
                signal="losses",
                request={"model": model},
                state=lambda: context.state(judge),
                shelf=context.shelf(model, judge, "losses"),
            )
            found = context.engine.map(
                self._samples, shard, task, lambda batch: sample_means(*token_losses(judge, batch, context.chunked))
            )
        if model is None:
            self._check_losses(shard, found)
        return found

    def token_losses(self, shard: Ids, *, model: str | None = None) -> list[Rows]:
        """The loss of each target token, a Float32[t] per sample, in order of the tokens."""
        context = self._context

        def call(batch: Batch) -> Ragged:
            losses, mask = token_losses(judge, batch, context.chunked)
            return at_targets(losses, batch), mask.sum(dim=1, keepdim=True)

        with eval_mode(context.models.training), torch.no_grad(), context.models.reference(model) as judge:
            task = Task(
                what="token losses",
                signal="losses",
                request={"model": model},
                state=lambda: context.state(judge),
                shelf=context.shelf(model, judge, "token losses", dtype=context.tokens_as),
            )
            values, lengths = context.engine.map_ragged(self._samples, shard, task, call)
        found = split_runs(Part(ids=shard, values=values, lengths=lengths))
        if model is None:
            self._check_losses(shard, np.array([row.sum() if len(row) else np.nan for row in found], dtype=np.float32))
        return found

    def embeddings(self, shard: Ids, *, layer: int = -1, pooling: str = "mean", model: str | None = None) -> Rows:
        """Pooled hidden states, Float32[n, H]."""
        if pooling not in POOLINGS:
            raise StrategyFault(f"there is no pooling {pooling!r}", hint=f"use one of {', '.join(POOLINGS)}")
        context = self._context
        encoder = context.models.encoder(model)
        width = _hidden_size(encoder.model)
        readers = () if encoder.tokenizer is None else (context.models.tokenizer, encoder.tokenizer)

        def decode(ids: list[int]) -> str:
            return str(context.models.tokenizer.decode(ids, skip_special_tokens=True))

        with eval_mode(context.models.training), torch.no_grad():
            task = Task(
                what="embeddings",
                signal="embeddings",
                request={"layer": layer, "pooling": pooling, "model": model},
                state=lambda: context.state(encoder.model),
                shelf=context.shelf(model, encoder.model, "embeddings", *readers, layer=layer, pooling=pooling),
            )
            return context.engine.map(
                self._samples,
                shard,
                task,
                lambda batch: embed(encoder, batch, decode, layer=layer, pooling=pooling),
                row=(width,),
            )

    def start_states(self, shard: Ids) -> StartStates:
        """What the model that the run started from makes of samples, in the store's numbers; no strategy asks for it.

        Raises `UnmetNeed` where that model trains. Collective.
        """
        context, passed = self._context, 0

        def call(batch: Batch) -> torch.Tensor:
            nonlocal passed
            passed += len(batch["input_ids"])
            encoder = Encoder(model=judge, tokenizer=None)
            return folded(embed(encoder, batch, str, layer=-1, pooling="mean"))

        with eval_mode(context.models.training), torch.no_grad(), context.models.reference(BASE) as judge:
            shelf = context.shelf(BASE, judge, "start states", dtype="float16", version=VERSION)
            if shelf is None:
                raise UnmetNeed(
                    "dataflex.features asks the model that the run started from, and that is being trained",
                    hint="set dataflex.features: tokens",
                )
            task = Task(
                what="start states",
                signal="embeddings",
                request={"model": BASE},
                state=lambda: context.state(judge),
                shelf=shelf,
            )
            row = (width_of(_hidden_size(judge)),)
            rows = context.engine.map(self._samples, shard, task, call, row=row)
        return StartStates(rows=rows, key=shelf.name, passed=passed)

    def forget_start(self) -> None:
        """No more states are wanted of the model that the run started from, for now."""
        self._context.models.forget(BASE)

    def expert_loads(self, shard: Ids) -> Rows:
        """Shares of each layer's choices that fell on each expert, Float32[n, E]."""
        context = self._context
        model = context.models.training
        with eval_mode(model), torch.no_grad(), routed(model) as routers:
            task = Task(what="expert loads", signal="expert loads", state=lambda: context.state(model))
            row = (routers.width,)
            return context.engine.map(self._samples, shard, task, lambda batch: routers.loads(model, batch), row=row)

    def generations(
        self,
        shard: Ids,
        *,
        count: int = 1,
        max_new_tokens: int = 128,
        temperature: float | None = None,
        top_p: float = 1.0,
    ) -> Generations:
        """``count`` completions of each sample's prompt; greedy without a ``temperature``."""
        context, tokenizer = self._context, self._context.models.tokenizer
        sampling = Sampling(count=count, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p)
        ends = list(context.ends) or [tokenizer.eos_token_id]
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
        config = sampling.config(ends=ends, pad=pad)
        key = (context.seed, "generations", context.step)
        model, lockstep = context.models.training, context.engine.lockstep
        with eval_mode(model):
            tokens, lengths = context.engine.map_ragged(
                self._samples,
                shard,
                Task(
                    what="generations",
                    signal="generations",
                    request=asdict(sampling),
                    state=lambda: {**context.state(model), "step": str(context.step)},
                ),
                lambda batch: complete(model, batch, sampling, config, lockstep=lockstep, seed=key),
            )
        runs = np.split(tokens, np.cumsum(lengths.reshape(-1)[:-1])) if len(shard) else []
        completions = [[run.tolist() for run in runs[i * count : (i + 1) * count]] for i in range(len(shard))]
        rows = [self._samples.dataset[int(i)] for i in shard]
        split = [split_answer(row["input_ids"], row["labels"]) for row in rows]

        def text(ids: list[int]) -> str:
            return str(tokenizer.decode(ids, skip_special_tokens=True))

        return Generations(
            prompts=[prompt for prompt, _ in split],
            completions=completions,
            texts=[[text(ids) for ids in runs] for runs in completions],
            references=[text(answer) for _, answer in split],
            prompt_texts=[text(prompt) for prompt, _ in split],
        )

    def _check_losses(self, shard: Ids, losses: Rows) -> None:
        """Raise `RunFailed` where no sample with target tokens has a loss that is a number. Collective."""
        lost = ~np.isfinite(losses)
        context = self._context
        ranks = context.engine.ranks
        if not ranks.largest(int(lost.any())) or ranks.largest(int((~lost).any())):
            return
        if ranks.largest(int(self.target_tokens(shard[lost]).any())):
            raise diverged(context.step, f"no loss of {self._samples.name} is a finite number")


def _hidden_size(model: nn.Module) -> int:
    config: Any = model.config
    return int(config.get_text_config().hidden_size)
