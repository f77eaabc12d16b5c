"""The trainer's side of signals: which model, which data, which optimizer."""

from __future__ import annotations

from dataflex_core.signals import ModelSignals
from dataflex_core.signals.engine import Engine, Samples
from dataflex_core.trainer.base import FlexTrainer


class SignalTrainer(FlexTrainer):
    """Gives strategies facts about the model in training, and nothing else of the trainer."""

    _signals: ModelSignals | None = None

    def signals(self) -> ModelSignals:
        """Signals for the decision that begins; the model is at rest between optimizer steps."""
        if self._signals is None:
            self._signals = self._make_signals()
        self._signals.new_decision()
        return self._signals

    def _make_signals(self) -> ModelSignals:
        config = self.session.prepared.config
        longest = int(config.args.get("cutoff_len") or 2048)
        engine = Engine(
            collate=self.data_collator,
            ranks=self.ranks,
            token_budget=config.dataflex.token_budget or self._train_batch_size * longest,
            workers=self.args.dataloader_num_workers,
            show_progress=not self.args.disable_tqdm,
        )
        # Without the wrapper of distributed training: its forward hooks expect a backward.
        model = self.accelerator.unwrap_model(self.model_wrapped)
        return ModelSignals(
            model=model,
            optimizer=lambda: self.optimizer,
            engine=engine,
            pool=Samples(name="pool", dataset=self.train_dataset.dataset),
            targets=[Samples(name=name, dataset=data) for name, data in self.session.targets.items()],
            notice=self.session.journal.notice,
        )
