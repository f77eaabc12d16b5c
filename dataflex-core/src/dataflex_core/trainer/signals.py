"""The trainer's side of signals: which model, which data, which optimizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from transformers.integrations import is_deepspeed_zero3_enabled

from dataflex_core.catalog import RuleRecord
from dataflex_core.config.section import Keep, RunConfig
from dataflex_core.declared import DeclaredSignals
from dataflex_core.errors import StrategyFault
from dataflex_core.llamafactory.args import PLACES, RunArgs
from dataflex_core.prepared import Slot
from dataflex_core.scoring.chunked import ChunkedLosses, is_large
from dataflex_core.scoring.context import ScoringContext
from dataflex_core.scoring.engine import Engine
from dataflex_core.scoring.feed import OfCopies
from dataflex_core.scoring.model_signals import ModelSignals
from dataflex_core.scoring.models import Models
from dataflex_core.scoring.partial import PartialStore
from dataflex_core.scoring.rules.registry import for_class
from dataflex_core.scoring.rules.rule import Rule
from dataflex_core.scoring.samples import Samples
from dataflex_core.scoring.store import Store
from dataflex_core.signals import Signals
from dataflex_core.trainer.base import FlexTrainer


class SignalTrainer(FlexTrainer):
    """Gives strategies facts about the model in training, and nothing else of the trainer."""

    keeps_passes = False
    """Whether results of a complete pass stay on disk, too, until the run is done."""
    _signals: ModelSignals | None = None
    _signals_step = -1
    _store: PartialStore | None = None
    _signal_state: Mapping[str, Any] | None = None

    def signals(self) -> ModelSignals:
        """Signals of the model as it is after the steps made so far; to be asked between two optimizer steps."""
        if self._signals is None:
            self._signals = self._make_signals()
            self._signals.load(self._signal_state or {})
        if self._signals_step != self.state.global_step:
            self._signals.new_decision(self.state.global_step)
            self._signals_step = self.state.global_step
        return self._signals

    @property
    def explains(self) -> bool:
        """Whether it will be asked which target samples others help most."""
        return False

    @cached_property
    def chunked(self) -> ChunkedLosses | None:
        """What computes losses of tokens without whole logits; None where these are had whole.

        It hangs on the configuration alone: the same on every rank, and after a resume.
        """
        config = self.run.prepared.config
        asked, written = config.dataflex.chunked_loss, RunArgs(written=config.args)
        vocabulary = int(self.model.config.get_text_config().vocab_size)
        tokens = config.dataflex.token_budget or 0, self.args.train_batch_size * written.cutoff_len
        shares_head = is_deepspeed_zero3_enabled()
        suits = not shares_head and (written.fuses_loss or is_large(max(tokens), vocabulary))
        if self.is_fsdp_enabled or not (asked is True or (asked == "auto" and suits)):
            return None
        return ChunkedLosses(
            lockstep=shares_head,
            fused=written.fuses_loss,
            fallback=partial(self.run.journal.fallback, "whole-logits"),
        )

    def declared_signals(self, slot: Slot) -> Signals:
        """The same, as far as a strategy has declared that it needs them."""
        chosen = self.run.prepared.strategies[slot]
        return DeclaredSignals(self.signals(), chosen.needs, chosen.title)

    def signal_state(self) -> dict[str, Any]:
        """What signals keep from one decision to a later one, or what a checkpoint had, before the first."""
        return dict(self._signal_state or {}) if self._signals is None else self._signals.state()

    def take_up_signals(self, state: Mapping[str, Any]) -> None:
        """Go on from what `signal_state` gave."""
        self._signal_state = state

    def asked_optimizer(self) -> object:
        """The optimizer whose moments signals ask for."""
        return self.optimizer

    def finish(self) -> None:
        """Remove the partial results."""
        super().finish()
        if self._store is not None:
            self._store.clear()

    def _make_signals(self) -> ModelSignals:
        config = self.run.prepared.config
        written = RunArgs(written=config.args)
        notice, fallback = self.run.journal.notice, self.run.journal.fallback
        self._store = PartialStore(
            Path(self.args.output_dir) / "dataflex" / "partial",
            rank=self.ranks.rank,
            seconds=config.dataflex.flush_seconds,
            notice=notice,
            complete=self.keeps_passes,
        )
        engine = Engine(
            collate=OfCopies(self.data_collator),
            ranks=self.ranks,
            token_budget=config.dataflex.token_budget or self.args.train_batch_size * written.cutoff_len,
            workers=self.args.dataloader_num_workers,
            show_progress=not self.args.disable_tqdm,
            lockstep=is_deepspeed_zero3_enabled() or self.is_fsdp_enabled,
            notice=partial(fallback, "batches-halved"),
            store=self._store,
            unkept=_unkept(config.dataflex.keep),
            asked_to_end=self.asked_to_end,
        )
        context = ScoringContext(
            models=self._make_models(),
            optimizer=self.asked_optimizer,
            engine=engine,
            targets=[
                Samples(name=name, dataset=data, origins=self.run.target_origins.get(name))
                for name, data in self.run.targets.items()
            ],
            holdout={
                name: Samples(name=f"{name}, held out", dataset=data, origins=self.run.holdout_origins.get(name))
                for name, data in self.run.holdout.items()
            },
            notice=notice,
            fallback=fallback,
            rules=list(_rules(self.run.prepared.rules, partial(fallback, "rule-left-out"))),
            seed=self.run.seed,
            configuration="\n".join([_what_counts(config), *map(str, self.run.prepared.rules)]),
            ends=self._ends(),
            in_blocks=written.trains_in_blocks,
            store=self._frozen_answers(),
            tokens_as=config.dataflex.store_token_losses,
            explains=self.explains,
            chunked=self.chunked,
            precision=str(self.accelerator.mixed_precision),
        )
        return ModelSignals(
            context, Samples(name="the pool", dataset=self.train_dataset.dataset, origins=self.run.origins)
        )

    def _frozen_answers(self) -> Store:
        """The store of the answers of models that do not train: in memory, where no score may lie on disk."""
        config = self.run.prepared.config.dataflex
        folder = Path(config.store).expanduser() if config.store else Path(self.args.output_dir) / "dataflex" / "store"
        return Store(folder if config.keep.scores else None, self.run.journal.notice)

    def _make_models(self) -> Models:
        written = RunArgs(written=self.run.prepared.config.args)
        return Models(
            # Without the wrapper of distributed training: its forward hooks expect a backward.
            training=self.accelerator.unwrap_model(self.model_wrapped),
            tokenizer=self.processing_class,
            device=self.ranks.device,
            base_path=written.model,
            sharding=getattr(self.args, "hf_deepspeed_config", None),
            trust_remote_code=written.trust_remote_code,
        )

    def _ends(self) -> list[int]:
        """The tokens that end an answer in the run's template, as LLaMA-Factory's own predictions use them."""
        return list(getattr(self, "_gen_kwargs", {}).get("eos_token_id") or [])


def _rules(records: Iterable[RuleRecord], notice: Callable[[str], None]) -> Iterator[Rule]:
    """Plugins' gradient rules; one that does not load is told, and spoils nothing."""
    for record in records:
        try:
            layer, gradients = record.load()
        except StrategyFault as fault:
            notice(f"left out: {fault}")
        else:
            yield for_class(layer, gradients, str(record))


def _what_counts(config: RunConfig) -> str:
    return json.dumps({key: value for key, value in config.to_plain().items() if key not in PLACES}, sort_keys=True)


def _unkept(keep: Keep) -> frozenset[str]:
    """The signals whose partial results may not lie on disk."""
    scores = {"losses", "gradients", "embeddings", "expert loads"} if not keep.scores else set()
    return frozenset(scores | (set() if keep.texts else {"generations"}))
