"""What a run asks of a weighter: at the beginning of an interval, and at each optimizer step of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataflex_core.contracts import Weighter
from dataflex_core.spec import Need
from dataflex_core.strategy_faults import answered_at
from dataflex_core.testing import fakes
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.steps import Answer, Ids, Runner, figures
from dataflex_core.weighing import IntervalRequest, TokenLosses, WeighRequest, Weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preparing:
    """A weighter is told that an interval begins, which trains ``samples``."""

    step: int
    samples: Ids

    @property
    def title(self) -> str:
        return f"the interval of step {self.step}"

    def ask(self, strategy: Weighter[Any], runner: Runner) -> Answer:
        request = IntervalRequest(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            ids=self.samples.copy(),
            steps=runner.budget.schedule.interval_at(self.step).steps,
            global_batch=runner.budget.global_batch,
            rng=runner.rng(self.step, "interval"),
            signals=runner.signals(self.step),
            columns=runner.pool.columns,
        )
        assert request.ids is not None
        with runner.watching({"request.ids": request.ids}, request.rng):
            strategy.prepare(request)
        return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weighing:
    """A weighter's answer to the window of an optimizer step, or to a ``part`` of it that is one micro-batch."""

    step: int
    samples: Ids
    part: int | None = None

    @property
    def title(self) -> str:
        return f"step {self.step}" if self.part is None else f"step {self.step}, micro-batch {self.part}"

    def ask(self, strategy: Weighter[Any], runner: Runner) -> Answer:
        import torch

        from dataflex_core.trainer.token_weights import checked, token_weights

        losses, targets = self._losses(runner, None), self._targets(runner)
        needs, key = runner.chosen.needs, () if self.part is None else (self.part,)
        referenced = Need.REFERENCE_LOSSES in needs
        request = WeighRequest(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            ids=torch.from_numpy(self.samples.copy()),
            rng=runner.rng(self.step, *key),
            targets=targets if Need.TARGET_TOKENS in needs else None,
            reference=self._losses(runner, runner.reference) if referenced else None,
            embeddings=self._embeddings(runner) if Need.BATCH_EMBEDDINGS in needs else None,
            columns=runner.pool.columns,
        )
        given = {
            "losses.values": losses.values.numpy(),
            "losses.mask": losses.mask.numpy(),
            "request.ids": request.ids.numpy(),
            "request.targets": targets.numpy(),
        }
        if request.reference is not None:
            given["request.reference.values"] = request.reference.values.numpy()
        if request.embeddings is not None:
            given["request.embeddings"] = request.embeddings.numpy()
        with runner.watching(given, request.rng), torch.no_grad():
            answer = strategy.weigh(request, losses)
        values = answer.values if isinstance(answer, Weights) else answer
        runner.attached = runner.attached or bool(getattr(values, "requires_grad", False))
        try:
            weights, notes = checked(answer, losses)
            kept = token_weights(answer, losses) if runner.chosen.compares else weights
        except ValueError as wrong:
            raise CheckFailed(f"{self.title}: {wrong}{answered_at(strategy, 'weigh')}") from wrong
        return (kept.masked_fill(~losses.mask, 0.0).numpy(), *figures(notes))

    def _losses(self, runner: Runner, model: str | None) -> TokenLosses:
        import torch

        found = [fakes.token_losses(runner.pool.samples[i], self.step, model) for i in self.samples.tolist()]
        width = max(1, *(len(losses) for losses in found))
        values, mask = torch.zeros(len(found), width), torch.zeros(len(found), width, dtype=torch.bool)
        for row, losses in enumerate(found):
            values[row, : len(losses)], mask[row, : len(losses)] = torch.from_numpy(losses), True
        return TokenLosses(values=values, mask=mask)

    def _embeddings(self, runner: Runner) -> Any:
        import torch

        view = {"layer": -1, "pooling": "weighted", "model": None}
        found = [fakes.embedding(runner.pool.samples[i], self.step, view) for i in self.samples.tolist()]
        return torch.stack([torch.from_numpy(embedding) for embedding in found])

    def _targets(self, runner: Runner) -> Any:
        import torch

        answers = [runner.pool.samples[i].answer for i in self.samples.tolist()]
        targets = torch.full((len(answers), max(1, *map(len, answers))), fakes.IGNORE)
        for row, answer in enumerate(answers):
            targets[row, : len(answer)] = torch.tensor(answer, dtype=torch.int64)
        return targets
