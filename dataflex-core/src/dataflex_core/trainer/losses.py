"""The training loss, token by token where somebody needs it so, and as the stock trainer would sum it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dataflex_core.contracts import Strategy
from dataflex_core.errors import RunFailed
from dataflex_core.prepared import Slot
from dataflex_core.requests import StepFacts
from dataflex_core.scoring.targets import IGNORE, cross_entropy, next_tokens
from dataflex_core.spec import Kind, Need
from dataflex_core.trainer.ledger import Entry, filled
from dataflex_core.trainer.pieces import Pieces
from dataflex_core.trainer.reference import AHEAD, ReferenceAnswers
from dataflex_core.trainer.signals import SignalTrainer

_COEFFICIENTS = ("router_aux_loss_coef", "aux_loss_coef")
_LEARNT = "learnt"
"""What the samples of a step lost, for strategies that learn: a row each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MicroBatch:
    """Raw losses of one rank's micro-batch: ids Int64[b]; losses, targets (`IGNORE` where masked) and mask [b, T].

    ``references`` are the losses of reference models at the same positions, by path; ``embeddings`` Float32[b, H] are
    had where somebody needs them. ``pieces`` are the samples, where rows are packed of several: see `apart`.
    """

    ids: torch.Tensor
    losses: torch.Tensor
    targets: torch.Tensor
    references: dict[str, torch.Tensor]
    embeddings: torch.Tensor | None = None
    pieces: Pieces | None = None

    @property
    def mask(self) -> torch.Tensor:
        """Which positions have a target token."""
        return self.targets != IGNORE

    def apart(self) -> MicroBatch:
        """The same with a row for each of the packed samples, at the positions that it has; ids are those of the rows.

        Embeddings are of the samples already.
        """
        if self.pieces is None:
            return self
        rows, own = self.pieces.rows_on(self.ids.device), self.pieces.target_masks(self.ids.device)
        return replace(
            self,
            ids=self.ids[rows],
            losses=self.losses[rows].masked_fill(~own, 0.0),
            targets=self.targets[rows].masked_fill(~own, IGNORE),
            references={path: losses[rows].masked_fill(~own, 0.0) for path, losses in self.references.items()},
            pieces=None,
        )

    def together(self, weights: torch.Tensor) -> torch.Tensor:
        """Token weights Float32[b, T], from those of the rows that `apart` made."""
        return weights if self.pieces is None else self.pieces.laid_over(weights, len(self.ids))


def router_coefficient(model: Any) -> float:
    """What a mixture of experts multiplies the loss of its routers by. Raises `RunFailed` where it does not say so."""
    config = model.config
    for owner in (model, config, config.get_text_config()):
        for name in _COEFFICIENTS:
            if (found := getattr(owner, name, None)) is not None:
                return float(found)
    said = f"{type(model).__name__} adds a loss of its routers to its own, and how much it counts is not known here"
    raise RunFailed(said, hint="switch that loss off, or train without a strategy that needs losses of tokens")


class LossTrainer(SignalTrainer):
    """Computes the training loss token by token where a strategy needs it so, and shows steps to those that learn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_step = False
        self._wants_logits = False
        self._taken: list[torch.Tensor] = []
        self._seen: list[torch.Tensor] = []
        self._learners = {
            slot: made for slot, made in self.run.strategies.items() if type(made).observe is not Strategy.observe
        }
        self._references = sorted(
            {path for slot in self.run.strategies if (path := self.reference_of(slot)) is not None}
        )
        self._reference_answers = ReferenceAnswers(self._references)
        self._tells_domains = self.run.prepared.config.dataflex.loss_by_domain is not False
        if self.run.prepared.takes_token_losses:
            self.compute_loss_func = self._token_loss

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """As below; reference models are asked about the samples ahead where they were not yet. Collective then."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._references:
            ahead = self.ids_ahead(AHEAD)
            if ahead is None:
                ahead = np.concatenate(self.ranks.gather_arrays(self.window_ids()))
            if not self._reference_answers.has(ahead):
                with self.passing():
                    self._reference_answers.ask(self.signals(), ahead)
        return batches, items

    def reference_of(self, slot: Slot) -> str | None:
        """The path of the reference model whose losses on training batches a strategy is given, if any."""
        chosen = self.run.prepared.strategies[slot]
        return next(iter(chosen.references.values())) if Need.REFERENCE_LOSSES in chosen.needs else None

    def weights(self, micro: MicroBatch) -> torch.Tensor | None:
        """Token weights Float32[b, T] of this rank's micro-batch, or None for all one."""
        return None

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """As stock, with the loss known to be trained on: evaluation calls the same loss function."""
        self._in_step = True
        try:
            return super().training_step(model, inputs, *args, **kwargs)
        finally:
            self._in_step = False

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, *args: Any, **kwargs: Any) -> Any:
        """As stock, with the logits known to be wanted, where they are."""
        self._wants_logits = not prediction_loss_only
        try:
            return super().prediction_step(model, inputs, prediction_loss_only, *args, **kwargs)
        finally:
            self._wants_logits = False

    def compute_loss(self, model: Any, inputs: Any, **kwargs: Any) -> Any:
        """As stock; losses of tokens are taken as the forward reaches the head, where whole logits are too large."""
        self._taken = []
        chunked = None if self._wants_logits or self.compute_loss_func is None else self.chunked
        if chunked is None or "labels" not in inputs:
            return super().compute_loss(model, inputs, **kwargs)
        own, others = self.accelerator.unwrap_model(model), {k: v for k, v in inputs.items() if k != "labels"}
        if not chunked.knows(own, lambda: model(**others)):
            return super().compute_loss(model, inputs, **kwargs)
        targets = next_tokens(inputs["labels"])
        with chunked.during(own, targets, self._places_of(targets)) as self._taken:
            return super().compute_loss(model, inputs, **kwargs)

    def is_of_window(self) -> bool:
        """Whether the loss under way is of the window's micro-batch, and not an evaluation's."""
        return self._in_step

    def _places_of(self, targets: torch.Tensor) -> torch.Tensor:
        """Where targets Int64[B, T] are, Int64[n] of the flat batch: of a training batch the host knows."""
        places = self._places[self._micro] if self.is_of_window() else None
        if places is None:
            return (targets != IGNORE).flatten().nonzero().flatten()
        return torch.from_numpy(places).to(targets.device)

    def _token_loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        losses, targets = self.token_losses_of(outputs, labels)
        weights = None
        if self._in_step:
            micro = self.micro_batch(losses.detach(), targets)
            if self._learners:
                self._seen.append(self._row(micro))
            weights = self.weights(micro)
            if self._tells_domains:
                counted = micro.mask if weights is None else torch.where(micro.mask, weights, 0.0)
                self.since_log.trained.losses(self._window[self._micro], micro.losses.sum(dim=1), counted.sum(dim=1))
        total = (losses if weights is None else losses * weights).sum()
        return self._normalised(total, targets != IGNORE, self._router_loss(outputs), num_items_in_batch)

    def token_losses_of(self, outputs: Any, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Float32[b, T] losses of a forward, and the Int64[b, T] tokens that they are of."""
        if self._taken:
            losses = self._taken.pop()
            return losses, next_tokens(labels).to(losses.device)
        logits = outputs.get("logits")
        if logits is None:
            said = "losses of tokens are needed, and the model gives no logits to compute them from"
            raise RunFailed(said, hint="turn off the kernels that replace its forward")
        targets = next_tokens(labels).to(logits.device)
        return cross_entropy(logits, targets), targets

    def micro_batch(self, losses: torch.Tensor, targets: torch.Tensor) -> MicroBatch:
        """The micro-batch under way, with what reference models said of it."""
        ids = self._window[self._micro]
        mask = targets != IGNORE
        references = {path: self._reference_answers.laid_out(path, ids, mask) for path in self._references}
        return MicroBatch(
            ids=torch.from_numpy(ids).to(losses.device),
            losses=losses,
            targets=targets,
            references=references,
            pieces=self._pieces[self._micro],
        )

    def _normalised(
        self, total: torch.Tensor, mask: torch.Tensor, routing: torch.Tensor | float, items: Any
    ) -> torch.Tensor:
        """As stock: by the window's target tokens; where a model cannot be told them, a mean of micro-batch means.

        ``routing`` is what the model adds to its loss, and stock divides by as much as that.
        """
        if self.model_accepts_loss_kwargs and items is not None:
            return total / (items.to(total.device) if torch.is_tensor(items) else items) + routing
        mean = (total / mask.sum() + routing) / self._multiplied_by(items)
        return mean / self.current_gradient_accumulation_steps if self._in_step else mean

    def _multiplied_by(self, items: Any) -> int:
        """What stock multiplies a loss of ours by that it takes for a part of one of all ranks' tokens."""
        if items is None or not self.args.average_tokens_across_devices:
            return 1
        return int(self.accelerator.num_processes if self.args.n_gpu <= 1 else self.args.n_gpu)

    def _router_loss(self, outputs: Any) -> torch.Tensor | float:
        """What a mixture-of-experts model adds to its own loss, which is not computed here."""
        auxiliary = outputs.get("aux_loss")
        if auxiliary is None:
            return 0.0
        added: torch.Tensor = router_coefficient(self.model) * auxiliary
        return added

    def finish_step(self) -> None:
        """As below; what the step lost is left for the strategies that learn."""
        super().finish_step()
        if self._learners:
            about = (self.current_progress(), self.proportions())
            rows = filled(torch.cat(self._seen), self.most_samples())
            self.ledger.add(_LEARNT, self.state.global_step, rows, about)
            self._seen.clear()

    def is_awaited(self) -> bool:
        return super().is_awaited() or bool(self._learners)

    def settle_in_time(self) -> None:
        """As below, and after every step where a weighter learns, which is asked at the next one."""
        if any(slot.kind is Kind.WEIGHTER for slot in self._learners):
            self.settle()
        else:
            super().settle_in_time()

    def take_up(self, entries: Sequence[Entry]) -> None:
        """As below; shows the strategies that learn what each accumulation window, over all ranks, lost."""
        super().take_up(entries)
        for entry in entries:
            if entry.kind == _LEARNT:
                self._show(entry)

    def _show(self, entry: Entry) -> None:
        every = entry.everyones[entry.everyones[..., 0] >= 0]
        table = every[np.argsort(every[:, 0], kind="stable")]
        progress, proportions = entry.about
        ids, tokens = table[:, 1].astype(np.int64), table[:, 2].astype(np.int64)
        with np.errstate(invalid="ignore"):
            means = (table[:, 3] / table[:, 2]).astype(np.float32)
        for slot, strategy in self._learners.items():
            excess, theirs = self._beside_reference(table, self.reference_of(slot))
            facts = StepFacts(
                progress=progress,
                domains=self.run.budget.domains,
                ids=ids.copy(),
                losses=means.copy(),
                tokens=tokens.copy(),
                proportions=proportions.copy(),
                excess=excess,
                reference_losses=theirs,
            )
            with self.run.asking(f"step {entry.step}", slot):
                strategy.observe(facts)

    def _beside_reference(self, table: Any, path: str | None) -> tuple[Any, Any]:
        """What a step's losses exceed the reference model's by, and the means of its losses; None without one."""
        if path is None:
            return None, None
        at = 4 + 2 * self._references.index(path)
        with np.errstate(invalid="ignore"):
            return table[:, at].astype(np.float32), (table[:, at + 1] / table[:, 2]).astype(np.float32)

    def proportions(self) -> Any:
        """Those in force, Float64[K]: of size, where LLaMA-Factory's own order is kept."""
        sizes = np.array([domain.size for domain in self.run.budget.domains], dtype=np.float64)
        return sizes / sizes.sum()

    def _row(self, micro: MicroBatch) -> torch.Tensor:
        """Float64[b, 4 + 2R] of a micro-batch.

        Its number, id, target tokens, their summed loss; for each reference what the losses exceed its by, and its own.
        """
        mask, over = micro.mask, []
        for other in micro.references.values():
            over += [((micro.losses - other).clamp(min=0) * mask).sum(dim=1), (other * mask).sum(dim=1)]
        index = torch.full_like(micro.ids, self._micro)
        columns = [index, micro.ids, mask.sum(dim=1), micro.losses.sum(dim=1), *over]
        return torch.stack([column.double() for column in columns], dim=1)
