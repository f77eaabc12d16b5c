"""WeightTrainer: a weighter decides how much each sample, or token, counts in the loss."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, cast

import torch

from dataflex_core.contracts import TokenLosses, WeighRequest, Weighter
from dataflex_core.spec import Kind
from dataflex_core.trainer.base import disagreement
from dataflex_core.trainer.losses import LossTrainer
from dataflex_core.trainer.token_weights import token_weights


class WeightTrainer(LossTrainer):
    """Asks the weighter for every global micro-batch after the warm-up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._weighter = cast("Weighter[Any]", self.run.strategies[Kind.WEIGHTER])
        super().__init__(*args, **kwargs)
        self._digest = sha256()
        schedule = self.run.budget.schedule
        if self.run.prepared.config.dataflex.updates is not None:
            self.args.max_steps = schedule.total_steps

    @property
    def needs_token_losses(self) -> bool:
        return True

    def weights(self, ids: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
        """The weighter's, of mean one over the target tokens of the global micro-batch."""
        if self.state.global_step < self.run.budget.schedule.warmup_steps:
            return super().weights(ids, values, mask)
        ids, losses, mine = self._global(ids, values, mask)
        request = WeighRequest(
            progress=self.current_progress(),
            domains=self.run.budget.domains,
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
        if odd := self.ranks.differing(self._digest.digest()):
            title = self.run.prepared.strategies[Kind.WEIGHTER].title
            raise disagreement(title, self.state.global_step - 1, odd)
        self._digest = sha256()

    def _global(
        self, ids: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, TokenLosses, slice]:
        """The micro-batch over all ranks, and where this rank's part of it is."""
        if self.ranks.world == 1:
            return ids, TokenLosses(values=values, mask=mask), slice(0, len(ids))
        shapes = self.ranks.gather_rows(torch.tensor([values.shape], device=values.device)).tolist()
        rows, width = max(n for n, _ in shapes), max(t for _, t in shapes)
        # One tensor a rank: id, then losses with NaN for what is no target; whole rows of NaN fill up short ranks.
        packed = values.new_full((rows, width), torch.nan)
        packed[: len(ids), : values.shape[1]] = values.masked_fill(~mask, torch.nan)
        padded = torch.nn.functional.pad(ids, (0, rows - len(ids)), value=-1)
        all_ids, gathered = self.ranks.gather_rows(padded), self.ranks.gather_rows(packed)
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
