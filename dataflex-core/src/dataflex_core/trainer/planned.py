"""Training on plans: an interval's samples are decided as it begins, and trained in order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from dataflex_core.contracts import Progress
from dataflex_core.planning.budget import shares_of
from dataflex_core.planning.plan import Exhaustion, Shortage, draw, normalised, shuffled
from dataflex_core.planning.schedule import Interval
from dataflex_core.spec import Kind
from dataflex_core.trainer.base import FlexTrainer, disagreement
from dataflex_core.trainer.loader import interval_loader, rank_batches

Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """The samples of an interval: ``ids`` Int64[steps x global batch], and what was short."""

    ids: NDArray[np.int64]
    ordered: bool = False
    shortages: tuple[Shortage, ...] = ()
    judged: int = 0


class PlannedTrainer(FlexTrainer):
    """Asks for proportions, then for samples, once per interval; feeds them to the stock training loop.

    The stock data loader gives only its length: it is never read, so resuming has nothing to fast-forward.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = self.run.budget
        self.args.max_steps = known.schedule.total_steps
        self._warmup = self.run.prepared.config.dataflex.warmup_proportions
        self._by_domain = self.mixes or self._warmup != "size"
        self._cursors = (0,) * (len(known.domains) if self._by_domain else 1)
        self._shares = self.proportions_of(self._warmup)
        self._interval: Interval | None = None
        self._plan = np.empty(0, dtype=np.int64)
        self._history: list[Shares] = []
        self._feed: Iterator[Any] = iter(())

    @property
    def mixes(self) -> bool:
        """Whether a mixer gives domains proportions; otherwise the pool is one."""
        return False

    def proportions_of(self, written: str | Mapping[str, float]) -> Shares:
        """Float64[K] of what a configuration says: ``size``, ``uniform`` or shares by domain."""
        domains = self.run.budget.domains
        return normalised(shares_of(written, domains), len(domains))

    def proportions(self, progress: Progress) -> Shares:
        """Float64[K] for the interval that begins."""
        return self.proportions_of(self._warmup if progress.decision == 0 else "size")

    def fill(self, progress: Progress, count: int, shares: Shares) -> Filled:
        """Exactly ``count`` samples for the interval that begins: the next unread ones."""
        ids, shortages = self.read(count, shares)
        return Filled(ids=np.concatenate(ids), shortages=shortages)

    def read(self, count: int, shares: Shares) -> tuple[tuple[NDArray[np.int64], ...], tuple[Shortage, ...]]:
        """The next ``count`` unread samples, by domain; in one piece where the whole pool is read in proportion."""
        known = self.run.budget
        drawn = draw(
            proportions=shares if self._by_domain else [1.0],
            count=count,
            names=[f"domain {d.name}" for d in known.domains] if self._by_domain else ["the pool"],
            starts=[d.start for d in known.domains] if self._by_domain else [0],
            sizes=[d.size for d in known.domains] if self._by_domain else [known.pool],
            cursors=self._cursors,
            seed=self.run.seed,
            policy=Exhaustion(self.run.prepared.config.dataflex.exhaustion),
        )
        self._cursors = drawn.cursors
        return drawn.ids, drawn.shortages

    def get_train_dataloader(self) -> Any:
        """A loader that is never read: the loop takes an epoch's length from it."""
        known = self.run.budget
        steps = -(-known.pool // known.global_batch)
        unread: DataLoader[Any] = DataLoader(range(steps * known.global_batch), batch_size=self._train_batch_size)  # type: ignore[arg-type]  # a range is map-style
        return self.accelerator.prepare(unread)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The next global batch of the plan; decides first where an interval begins."""
        step = self.state.global_step
        if self._interval is None or step >= self._interval.stop:
            interval = self.run.budget.schedule.interval_at(step)
            # Later than its start only where a run goes on with another schedule, or other data.
            with self.deciding():
                self._begin_interval(replace(interval, start=step))
        return super().get_batch_samples(self._feed, self.args.gradient_accumulation_steps, device)

    def _begin_interval(self, interval: Interval) -> None:
        began = time.monotonic()
        known = self.run.budget
        progress = self.progress(interval)
        shares = self._shares = self.proportions(progress)
        count = interval.steps * known.global_batch
        filled = self.fill(progress, count, shares)
        assert filled.ids.shape == (count,), "a plan is exactly one interval"
        plan = filled.ids if filled.ordered else shuffled(filled.ids, self.run.seed, interval.start)
        self._agree(plan, shares)
        self._history.append(shares)
        self._interval, self._plan = interval, plan
        self._feed = self._fed_from(interval.start)
        self._record(interval, plan, shares, filled, time.monotonic() - began)

    def _fed_from(self, step: int) -> Iterator[Any]:
        """This rank's batches of the plan, from optimizer step ``step`` on."""
        assert self._interval is not None
        done = (step - self._interval.start) * self.run.budget.global_batch
        batches = rank_batches(
            self._plan[done:],
            micro_batches=self.args.gradient_accumulation_steps,
            batch_size=self._train_batch_size,
            rank=self.ranks.rank,
            world=self.ranks.world,
        )
        return iter(interval_loader(self.train_dataset, batches, self.data_collator, self.args))

    def _agree(self, plan: NDArray[np.int64], shares: Shares) -> None:
        """Raise `RanksDisagree`, on every rank, where one has decided otherwise."""
        step = self.state.global_step
        for kind, decision in ((Kind.MIXER, shares.astype("<f8")), (Kind.SELECTOR, plan.astype("<i8"))):
            if odd := self.ranks.differing(sha256(decision.tobytes()).digest()):
                chosen = self.run.prepared.strategies.get(kind)
                raise disagreement("the plan" if chosen is None else chosen.title, step, odd)

    def history(self) -> Shares:
        """The proportions of every interval so far, Float64[t, K]."""
        return np.stack(self._history) if self._history else np.empty((0, len(self._shares)))

    def state_of_run(self) -> dict[str, Any]:
        interval = self._interval
        return {
            **super().state_of_run(),
            "cursors": list(self._cursors),
            "shares": self._shares,
            "history": self.history(),
            "interval": None if interval is None else [interval.decision, interval.start, interval.stop],
            "plan": self._plan,
        }

    def take_up(self, state: Mapping[str, Any]) -> None:
        super().take_up(state)
        if "plan" not in state or "data" in self.run.changed or len(state["cursors"]) != len(self._cursors):
            return  # what was planned is of other samples: the next step begins an interval
        self._cursors = tuple(state["cursors"])
        self._shares, self._plan = state["shares"], state["plan"]
        self._history = list(state["history"])
        if state["interval"] is not None and len(self._plan) % self.run.budget.global_batch == 0:
            decision, start, stop = state["interval"]
            self._interval = Interval(decision=decision, start=start, stop=stop)
            self._feed = self._fed_from(self.state.global_step)

    def _record(
        self, interval: Interval, plan: NDArray[np.int64], shares: Shares, filled: Filled, seconds: float
    ) -> None:
        domains = self.run.budget.domains
        counts = Counter(np.searchsorted([d.start + d.size for d in domains], plan, side="right").tolist())
        chosen = {d.name: counts[k] for k, d in enumerate(domains)}
        self._scalars.update({f"dataflex/share/{name}": n / len(plan) for name, n in chosen.items()})
        split = self.mixes or (self._by_domain and interval.is_warmup)
        names = [None if s.domain is None or not split else domains[s.domain].name for s in filled.shortages]
        self.run.journal.write(
            "decision",
            decision=interval.decision,
            step=interval.start,
            until=interval.stop,
            chosen=chosen,
            proportions={d.name: float(p) for d, p in zip(domains, shares, strict=True)} if split else None,
            judged=filled.judged,
            shortages=[
                {"domain": name, "wanted": s.wanted, "had": s.had, "action": s.action}
                for name, s in zip(names, filled.shortages, strict=True)
            ],
            plan=sha256(plan.astype("<i8").tobytes()).hexdigest()[:16],
            seconds=round(seconds, 3),
        )
