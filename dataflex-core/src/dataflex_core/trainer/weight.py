"""WeightTrainer: a weighter decides how much each sample, or token, counts in the loss."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, cast

import torch

from dataflex_core.contracts import token_weights
from dataflex_core.signals.losses import IGNORE, cross_entropy, next_tokens
from dataflex_core.spec import Kind
from dataflex_core.strategy import TokenLosses, WeighRequest, Weighter
from dataflex_core.trainer.base import FlexTrainer, disagreement


class LossTrainer(FlexTrainer):
    """Computes the training loss token by token where somebody needs it so, and as the stock trainer would sum it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_step = False
        if self.needs_token_losses:
            self.compute_loss_func = self._token_loss

    @property
    def needs_token_losses(self) -> bool:
        """Whether the stock loss, one number a batch, is not enough."""
        return False

    def heed(self, ids: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> None:
        """Told each training micro-batch's raw losses: ids Int64[b], values and mask [b, T], this rank's."""

    def weights(self, ids: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
        """Token weights Float32[b, T] of this rank's micro-batch, or None for all one."""
        return None

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Mark the losses that are trained on: evaluation goes through the same function."""
        self._in_step = True
        try:
            return super().training_step(*args, **kwargs)
        finally:
            self._in_step = False

    def _token_loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        targets = next_tokens(labels)
        losses = cross_entropy(outputs["logits"], targets.to(outputs["logits"].device))
        mask = targets != IGNORE
        weights = None
        if self._in_step:
            ids, raw = self._window[self._micro], losses.detach()
            self.heed(ids, raw, mask)
            weights = self.weights(ids, raw, mask)
        total = (losses if weights is None else losses * weights).sum()
        loss = self._normalised(total, mask, num_items_in_batch)
        return loss + self._router_loss(outputs)

    def _normalised(self, total: torch.Tensor, mask: torch.Tensor, items: Any) -> torch.Tensor:
        """As stock: by the window's target tokens; where a model cannot be told them, a mean of micro-batch means."""
        if self.model_accepts_loss_kwargs and items is not None:
            return total / (items.to(total.device) if torch.is_tensor(items) else items)
        mean = total / mask.sum()
        return mean / self.current_gradient_accumulation_steps if self._in_step else mean

    def _router_loss(self, outputs: Any) -> torch.Tensor | float:
        """What a mixture-of-experts model adds to its own loss, which is not computed here."""
        auxiliary = outputs.get("aux_loss")
        if auxiliary is None:
            return 0.0
        coefficient = getattr(self.model.config, "router_aux_loss_coef", 0.0)
        added: torch.Tensor = coefficient * auxiliary
        return added


class WeightTrainer(LossTrainer):
    """Asks the weighter for every global micro-batch after the warm-up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._weighter = cast("Weighter[Any]", self.session.strategies[Kind.WEIGHTER])
        super().__init__(*args, **kwargs)
        self._digest = sha256()
        schedule = self.session.known().schedule
        if self.session.prepared.config.dataflex.updates is not None:
            self.args.max_steps = schedule.total_steps

    @property
    def needs_token_losses(self) -> bool:
        return True

    def weights(self, ids: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
        """The weighter's, of mean one over the target tokens of the global micro-batch."""
        if self.state.global_step < self.session.known().schedule.warmup_steps:
            return super().weights(ids, values, mask)
        ids, losses, mine = self._global(ids, values, mask)
        request = WeighRequest(
            moment=self.current_moment(),
            domains=self.session.known().domains,
            ids=ids,
            rng=self.rng(Kind.WEIGHTER, self._micro),
        )
        with torch.no_grad():
            answer = self._weighter.weigh(request, losses)
        try:
            everyones = token_weights(answer, losses)
        except ValueError as wrong:
            raise self.fault(Kind.WEIGHTER, str(wrong)) from wrong
        self._note(everyones, losses)
        self._digest.update(everyones.detach().cpu().numpy().tobytes())
        return everyones[mine, : values.shape[1]]

    def finish_step(self) -> None:
        """Make sure that all ranks weighed the step alike."""
        super().finish_step()
        if odd := self.ranks.odd(self._digest.digest()):
            title = self.session.prepared.strategies[Kind.WEIGHTER].title
            raise disagreement(title, self.state.global_step - 1, odd)
        self._digest = sha256()

    def _global(
        self, ids: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, TokenLosses, slice]:
        """The micro-batch over all ranks, and where this rank's part of it is."""
        if self.ranks.world == 1:
            return ids, TokenLosses(values=values, mask=mask), slice(0, len(ids))
        shapes = self.ranks.stack(torch.tensor([values.shape], device=values.device)).tolist()
        rows, width = max(n for n, _ in shapes), max(t for _, t in shapes)
        # One tensor a rank: id, then losses with NaN for what is no target; whole rows of NaN fill up short ranks.
        packed = values.new_full((rows, width), torch.nan)
        packed[: len(ids), : values.shape[1]] = values.masked_fill(~mask, torch.nan)
        padded = torch.nn.functional.pad(ids, (0, rows - len(ids)), value=-1)
        all_ids, gathered = self.ranks.stack(padded), self.ranks.stack(packed)
        real = torch.cat([torch.arange(rows, device=ids.device) < n for n, _ in shapes])
        known = ~gathered[real].isnan()
        start = sum(n for n, _ in shapes[: self.ranks.rank])
        losses = TokenLosses(values=gathered[real].nan_to_num(0.0), mask=known)
        return all_ids[real], losses, slice(start, start + len(ids))

    def _note(self, weights: torch.Tensor, losses: TokenLosses) -> None:
        """Log how much the samples' weights differ."""
        counts = losses.counts
        sample = (weights * losses.mask).sum(dim=1)[counts > 0] / counts[counts > 0]
        if len(sample):
            self._scalars["dataflex/effective_share"] = effective_share(sample)


def effective_share(weights: torch.Tensor) -> float:
    """The effective sample size of weights Float32[B] (Kish, 1965), as a share of B: 1 where all weigh the same."""
    return float(weights.sum().square() / weights.square().sum() / len(weights))
