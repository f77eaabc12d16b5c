"""MixTrainer: a mixer decides the proportions of domains."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from dataflex_core.contracts import DomainStats, Mixer, MixRequest, Progress
from dataflex_core.errors import StrategyFault
from dataflex_core.planning.plan import normalised
from dataflex_core.spec import Kind
from dataflex_core.trainer.losses import LossTrainer
from dataflex_core.trainer.planned import PlannedTrainer, Shares
from dataflex_core.trainer.signals import SignalTrainer


class MixTrainer(PlannedTrainer, SignalTrainer, LossTrainer):
    """Asks the mixer once per decision, and shows it the raw losses of every step if it observes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._mixer = cast("Mixer[Any]", self.run.strategies[Kind.MIXER])
        self._observes = type(self._mixer).observe is not Mixer.observe
        super().__init__(*args, **kwargs)
        self._forget()

    @property
    def mixes(self) -> bool:
        return True

    @property
    def needs_token_losses(self) -> bool:
        return self._observes or super().needs_token_losses

    def proportions(self, progress: Progress) -> Shares:
        """The mixer's, checked and normalised; the warm-up's before the first decision."""
        if progress.decision == 0:
            return super().proportions(progress)
        domains = self.run.budget.domains
        request = MixRequest(
            progress=progress,
            domains=domains,
            previous=self._shares.copy(),
            history=self.history(),
            rng=self.rng(Kind.MIXER),
            signals=self.signals(),
        )
        answer = self._mixer.mix(request)
        try:
            return normalised(answer, len(domains))
        except StrategyFault as wrong:
            raise self.fault(Kind.MIXER, wrong.message) from wrong

    def heed(self, ids: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> None:
        """Add up a micro-batch's raw losses by domain."""
        super().heed(ids, values, mask)
        if not self._observes:
            return
        ends = torch.tensor([d.start + d.size for d in self.run.budget.domains], device=ids.device)
        domain = torch.bucketize(ids, ends, right=True)
        rows = torch.stack(
            [values.sum(dim=1).double(), mask.sum(dim=1).double(), torch.ones_like(ids, dtype=torch.float64)]
        )
        self._sums.index_add_(1, domain, rows)

    def finish_step(self) -> None:
        """Show the mixer what the whole accumulation window, over all ranks, lost."""
        super().finish_step()
        if not self._observes:
            return
        loss, tokens, samples = self.ranks.sum(self._sums).cpu().numpy()
        self._forget()
        self._mixer.observe(
            DomainStats(
                progress=self.current_progress(),
                loss_sum=loss,
                tokens=tokens.astype(np.int64),
                samples=samples.astype(np.int64),
            )
        )

    def _forget(self) -> None:
        size = len(self.run.budget.domains)
        self._sums = torch.zeros(3, size, dtype=torch.float64, device=self.args.device)
