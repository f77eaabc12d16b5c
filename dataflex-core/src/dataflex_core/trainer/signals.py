"""The trainer's side of signals: which model, which data, which optimizer."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.integrations import is_deepspeed_zero3_enabled

from dataflex_core.config.config import RunConfig
from dataflex_core.scoring.context import ScoringContext
from dataflex_core.scoring.engine import Engine
from dataflex_core.scoring.model_signals import ModelSignals
from dataflex_core.scoring.models import Models
from dataflex_core.scoring.partial import PartialStore
from dataflex_core.scoring.samples import Samples
from dataflex_core.trainer.base import FlexTrainer

# Where a run writes and from where it goes on do not change what it computes.
_VOLATILE = {"output_dir", "overwrite_output_dir", "resume_from_checkpoint"}


class SignalTrainer(FlexTrainer):
    """Gives strategies facts about the model in training, and nothing else of the trainer."""

    _signals: ModelSignals | None = None
    _store: PartialStore | None = None

    def signals(self) -> ModelSignals:
        """Signals for the decision that begins; the model is at rest between optimizer steps."""
        if self._signals is None:
            self._signals = self._make_signals()
        self._signals.new_decision(self.state.global_step)
        return self._signals

    def finish(self) -> None:
        """Partial results have served."""
        super().finish()
        if self._store is not None:
            self._store.clear()

    def _make_signals(self) -> ModelSignals:
        config = self.run.prepared.config
        longest = int(config.args.get("cutoff_len") or 2048)
        notice = self.run.journal.notice
        self._store = PartialStore(
            Path(self.args.output_dir) / "dataflex" / "partial",
            rank=self.ranks.rank,
            seconds=config.dataflex.flush_seconds,
            notice=notice,
        )
        engine = Engine(
            collate=self.data_collator,
            ranks=self.ranks,
            token_budget=config.dataflex.token_budget or self._train_batch_size * longest,
            workers=self.args.dataloader_num_workers,
            show_progress=not self.args.disable_tqdm,
            lockstep=is_deepspeed_zero3_enabled() or self.is_fsdp_enabled,
            notice=notice,
            store=self._store,
            asked_to_end=self.asked_to_end,
        )
        models = Models(
            # Without the wrapper of distributed training: its forward hooks expect a backward.
            training=self.accelerator.unwrap_model(self.model_wrapped),
            tokenizer=self.processing_class,
            device=self.ranks.device,
            base_path=str(config.args["model_name_or_path"]),
            sharding=getattr(self.args, "hf_deepspeed_config", None),
            trust_remote_code=bool(config.args.get("trust_remote_code")),
        )
        context = ScoringContext(
            models=models,
            optimizer=lambda: self.optimizer,
            engine=engine,
            targets=[Samples(name=name, dataset=data) for name, data in self.run.targets.items()],
            notice=notice,
            seed=self.run.seed,
            configuration=_what_counts(config),
            ends=self._ends(),
        )
        return ModelSignals(context, Samples(name="the pool", dataset=self.train_dataset.dataset))

    def _ends(self) -> list[int]:
        """The tokens that end an answer in the run's template, as LLaMA-Factory's own predictions use them."""
        return list(getattr(self, "_gen_kwargs", {}).get("eos_token_id") or [])


def _what_counts(config: RunConfig) -> str:
    settings = json.loads(config.to_json())
    return json.dumps({key: value for key, value in settings.items() if key not in _VOLATILE}, sort_keys=True)
