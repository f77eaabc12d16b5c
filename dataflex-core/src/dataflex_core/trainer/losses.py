"""The training loss, token by token where somebody needs it so, and as the stock trainer would sum it."""

from __future__ import annotations

from typing import Any

import torch

from dataflex_core.scoring.losses import IGNORE, cross_entropy, next_tokens
from dataflex_core.trainer.base import FlexTrainer


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
