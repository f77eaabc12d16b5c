"""Weighters, and a mixer's weights of domains, decide how much each sample, or token, counts in the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dataflex_core.contracts import Weighter
from dataflex_core.errors import DataflexError, StrategyFault
from dataflex_core.prepared import Slot
from dataflex_core.requests import Notes
from dataflex_core.scoring.divergence import diverged
from dataflex_core.scoring.eval_mode import random_state_kept
from dataflex_core.spec import Need
from dataflex_core.strategy_faults import answered_at, disagreement
from dataflex_core.trainer.batch_states import batch_embeddings
from dataflex_core.trainer.figures import noted
from dataflex_core.trainer.ledger import Entry, digest_of
from dataflex_core.trainer.losses import MicroBatch
from dataflex_core.trainer.preparing import PreparingTrainer
from dataflex_core.trainer.token_weights import (
    ALL_ZERO,
    NOT_FINITE,
    NOTHING_LEFT,
    answered,
    is_by_token,
    multiplied,
    normalised,
)
from dataflex_core.trainer.token_weights import wrongs as wrongs_of
from dataflex_core.trainer.weighed_tokens import BY_TOKEN, table_of
from dataflex_core.trainer.weight_sums import WEIGHTS, added_up
from dataflex_core.trainer.window import Shapes, Window, gathered, shapes_of
from dataflex_core.weighing import WeighRequest

_WRONG, _WEIGHED = "wrong", "weighed"
"""What weighing leaves on the device beside `WEIGHTS`: counts of what is wrong, and a digest of the weights."""


class WeightTrainer(PreparingTrainer):
    """Asks the weighters for every optimizer step after the warm-up, and multiplies their weights.

    Where one of them compares samples, its weights are relative to the whole accumulation window over all ranks. If
    that is more than one micro-batch, the window's losses come first, from a pass without gradients that sees the very
    dropout of the step itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._compares = any(self.run.prepared.strategies[slot].compares for slot in self._weighters)
        self._batches: Sequence[dict[str, Any]] = ()
        self._items: Any = None
        self._shapes: Shapes = []
        self._measured: list[MicroBatch] | None = None
        self._decided: list[torch.Tensor] | None = None
        self._embeds, self._states = self.run.prepared.needs(Need.BATCH_EMBEDDINGS), list[torch.Tensor]()
        self._by_token = False
        self._weighed: torch.Tensor | None = None
        schedule = self.run.budget.schedule
        if self.run.prepared.config.dataflex.updates is not None:
            self.args.max_steps = schedule.total_steps

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """As below; keeps the batches of the accumulation window, to weigh them before they are trained on."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._batches, self._items, self._decided = batches, items, None
        if self.asks_weighters():
            self._shapes = shapes_of(batches, self._pieces, self.ranks)
        return batches, items

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Weigh the whole window before its first micro-batch is trained on, where that is asked for."""
        if self._micro == -1 and self.asks_weighters() and self._compares and len(self._batches) > 1:
            self._decided = self._weigh(self._measure(model), self._shapes)
        return super().training_step(model, inputs, *args, **kwargs)

    def compute_loss(self, model: Any, inputs: Any, **kwargs: Any) -> Any:
        """As below; where weighters need them, embeddings are taken from the forward as it passes."""
        weighing = self._measured is not None or (self._in_step and self._decided is None)
        if not (self._embeds and weighing and self.asks_weighters()):
            self._states = []
            return super().compute_loss(model, inputs, **kwargs)
        pieces = self._pieces[self._micro]
        with batch_embeddings(self.accelerator.unwrap_model(model), inputs, pieces) as self._states:
            return super().compute_loss(model, inputs, **kwargs)

    def micro_batch(self, losses: torch.Tensor, targets: torch.Tensor) -> MicroBatch:
        """As below, with the embeddings of its samples where somebody needs them."""
        micro = super().micro_batch(losses, targets)
        return replace(micro, embeddings=self._states[0]) if self._states else micro

    def weights(self, micro: MicroBatch) -> torch.Tensor | None:
        """Of this rank's micro-batch: the weighters' and the mixer's, multiplied."""
        if self._decided is not None:
            return self._decided[self._micro]
        if self.asks_weighters():
            return self._weigh([micro], [rank[self._micro : self._micro + 1] for rank in self._shapes])[0]
        factors = self._by_domain(micro.ids)
        return None if factors is None else factors[:, None].expand_as(micro.losses)

    def finish_step(self) -> None:
        """As below; the window's batches are let go."""
        super().finish_step()
        self._batches, self._decided = (), None

    def settle_in_time(self) -> None:
        """As below; where the step logs, weights of tokens of the last window are left to be read along."""
        if self.control.should_log and self._weighed is not None:
            self.ledger.add(BY_TOKEN, self.state.global_step, self._weighed)
            self._weighed = None
        super().settle_in_time()

    def take_up(self, entries: Sequence[Entry]) -> None:
        """As below; a few samples are kept with the weights of their tokens."""
        super().take_up(entries)
        for entry in entries:
            if entry.kind == BY_TOKEN and self.texts is not None:
                self.texts.weighed(entry.step, entry.values)

    def faults(self, entries: Sequence[Entry]) -> list[tuple[int, DataflexError]]:
        """As below, and what was wrong with weights: of a step's causes the losses first.

        `RanksDisagree` where a rank weighed a step otherwise than rank 0. Collective.
        """
        found: list[tuple[int, DataflexError]] = []
        for entry in entries:
            if entry.kind == _WRONG and (error := self._wrong(entry)) is not None:
                found.append((entry.step, error))
        return [*found, *super().faults(entries), *self._disagreements(entries)]

    def _wrong(self, entry: Entry) -> DataflexError | None:
        """What one call of `_weigh` is to raise, from its counts Int64[2 + 2W]."""
        lost, nothing_left, *each = entry.values.tolist()
        samples, slots = entry.about
        step = entry.step - 1
        if lost:
            # Under fp16 the step is dropped, and weights made of such losses are no weighter's fault.
            what = f"the losses of {lost} of {samples} samples that it trains on are not finite"
            return None if self.args.fp16 else diverged(step, what)
        for slot, unfit, zero in zip(slots, each[::2], each[1::2], strict=True):
            if unfit or zero:
                text = NOT_FINITE if unfit else ALL_ZERO
                return self.fault(slot, step, f"{text}{answered_at(self._weighters[slot], 'weigh')}")
        if nothing_left:
            said = f"{self._titles()}, step {step}: {NOTHING_LEFT}"
            return StrategyFault(said, hint="weights multiply, with a mixer's too")
        return None

    def _disagreements(self, entries: Sequence[Entry]) -> list[tuple[int, DataflexError]]:
        for entry in entries:
            if entry.kind != _WEIGHED:
                continue
            if odd := np.flatnonzero(entry.everyones != entry.everyones[0]).tolist():
                return [(entry.step, disagreement(self._titles(), entry.step - 1, odd))]
        return []

    def _titles(self) -> str:
        return " and ".join(self.run.prepared.strategies[slot].title for slot in self._weighters) or "the weights"

    def is_of_window(self) -> bool:
        """As below, or measured before the window is trained on."""
        return self._measured is not None or super().is_of_window()

    def _measure(self, model: Any) -> list[MicroBatch]:
        """The losses of the window's micro-batches, as training on them will see them. Every rank has as many."""
        self._measured = []
        model.train()  # as stock does for a step: an evaluation leaves it otherwise
        try:
            with random_state_kept(), torch.no_grad():
                for index, batch in enumerate(self._batches):
                    self._micro = index
                    inputs = dict(self._prepare_inputs(batch))
                    with self.compute_loss_context_manager():
                        self.compute_loss(model, dict(inputs), num_items_in_batch=self._items)
            return self._measured
        finally:
            self._measured, self._micro = None, -1

    def _token_loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        if self._measured is None:
            return super()._token_loss(outputs, labels, num_items_in_batch)
        losses, targets = self.token_losses_of(outputs, labels)
        self._measured.append(self.micro_batch(losses, targets))
        return losses.sum()

    def _weigh(self, micros: list[MicroBatch], shapes: Shapes) -> list[torch.Tensor]:
        """Token weights of this rank's micro-batches, from what the weighters say of all ranks' together.

        They are shown samples, also where rows are packed of several.
        """
        samples = [micro.apart() for micro in micros]
        window = gathered(samples, shapes, self.ranks, targets=self.run.prepared.needs(Need.TARGET_TOKENS))
        everyones, step = window.losses, self.state.global_step + 1
        lost = (~torch.isfinite(everyones.values) & everyones.mask).any(dim=1).sum()
        answers, wrongs = [], []
        for slot, weighter in self._weighters.items():
            tokens, notes = self._answered(slot, weighter, window, lost)
            answers.append(tokens)
            wrongs.append(wrongs_of(tokens, everyones.mask).long())
            self.figures.add(noted(str(slot), notes))
        factors = self._by_domain(window.ids)
        if factors is not None:
            answers.append(factors[:, None].expand_as(everyones.values))
        product, nothing_left = multiplied(answers, everyones.mask), torch.zeros_like(lost)
        weights = product.float()
        if self._compares:
            weights, nothing_left = normalised(product, everyones.mask)
        about = (len(window.ids), tuple(self._weighters))
        self.ledger.add(_WRONG, step, torch.cat([torch.stack([lost, nothing_left.long()]), *wrongs]), about)
        counts = everyones.counts
        means = (weights * everyones.mask).sum(dim=1) / counts
        self.ledger.add(WEIGHTS, step, added_up(means, counts > 0))
        if self._by_token and self.run.prepared.shows_scores:
            self._weighed = table_of(window.ids, weights, everyones.mask)
        if self.ranks.world > 1:
            self.ledger.add(_WEIGHED, step, digest_of(weights))
        return [micro.together(own) for micro, own in zip(micros, window.mine(weights), strict=True)]

    def _answered(
        self, slot: Slot, weighter: Weighter[Any], window: Window, lost: torch.Tensor
    ) -> tuple[torch.Tensor, Notes]:
        """A weighter's answer. Losses that are no numbers are no weighter's fault, whatever it makes of them.

        Under fp16 one may overflow, and the step is dropped.
        """
        try:
            answer = self._answer(slot, weighter, window.copied())
            self._by_token = self._by_token or is_by_token(answer)
            try:
                return answered(answer, window.losses)
            except ValueError as wrong:
                place = answered_at(weighter, "weigh")
                raise self.fault(slot, self.state.global_step, f"{wrong}{place}") from wrong
        except StrategyFault as error:
            count = int(lost)
            if self.args.fp16 or not count:
                raise
            what = f"the losses of {count} of {len(window.ids)} samples that it trains on are not finite"
            raise diverged(self.state.global_step, what) from error

    def _answer(self, slot: Slot, weighter: Weighter[Any], window: Window) -> Any:
        needs, path = self.run.prepared.strategies[slot].needs, self.reference_of(slot)
        request = WeighRequest(
            progress=self.current_progress(),
            domains=self.run.budget.domains,
            ids=window.ids,
            # One a window, where weights are of the window: how it is split must not show.
            rng=self.rng(slot) if self._compares else self.rng(slot, self._micro),
            targets=window.targets if Need.TARGET_TOKENS in needs else None,
            reference=None if path is None else window.references[path],
            embeddings=window.embeddings if Need.BATCH_EMBEDDINGS in needs else None,
            columns=self.run.columns,
        )
        with torch.no_grad(), self.asking(slot):
            return weighter.weigh(request, window.losses)

    def _by_domain(self, ids: torch.Tensor) -> torch.Tensor | None:
        """What the mixer wants the loss of each sample's domain to count, Float32[B], or None."""
        weights = self.loss_weights()
        if weights is None:
            return None
        ends = torch.tensor([d.start + d.size for d in self.run.budget.domains], device=ids.device)
        return torch.as_tensor(weights, dtype=torch.float32, device=ids.device)[torch.bucketize(ids, ends, right=True)]
