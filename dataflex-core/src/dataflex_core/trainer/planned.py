"""Training on plans: an interval's samples are decided as it begins, and trained in order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.journal.decision import Took, decision_of
from dataflex_core.planning.budget import cost_of_decision, cost_of_features, cost_of_judging, cost_of_mixing
from dataflex_core.planning.exhaustion import Exhaustion
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.planner import Planner, Rules
from dataflex_core.planning.schedule import Interval
from dataflex_core.prepared import MIXER, SELECTOR
from dataflex_core.requests import Progress
from dataflex_core.scoring.divergence import diverged, weights_are_dead
from dataflex_core.signals import Signals
from dataflex_core.trainer.agreement import agree
from dataflex_core.trainer.figures import noted
from dataflex_core.trainer.loader import plan_feed, rank_batches
from dataflex_core.trainer.pool_features import PoolFeatures
from dataflex_core.trainer.reasons import Why, with_helps, with_losses
from dataflex_core.trainer.signals import SignalTrainer
from dataflex_core.trainer.timed import Clock, TimedSignals


class PlannedTrainer(SignalTrainer):
    """Has the planner decide each interval, and feeds its plan to the stock training loop.

    The stock data loader gives only its length: it is never read, so resuming has nothing to fast-forward.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        run, config = self.run, self.run.prepared.config.dataflex
        self.args.max_steps = run.budget.schedule.total_steps
        self._features = PoolFeatures(
            run.pool,
            run.seed,
            kind=config.features,
            signals=self.signals,
            folder=self._features_folder(),
            ranks=self.ranks,
        )
        self.planner = Planner(
            run.budget,
            Rules(
                exhaustion=Exhaustion(config.exhaustion),
                warmup_proportions=config.warmup_proportions,
                probing=run.budget.probing,
                spread=config.spreading(predicts=run.budget.probing is not None),
            ),
            seed=run.seed,
            chosen=run.prepared.strategies,
            strategies=run.strategies,
            columns=run.columns,
            features=self._features,
        )
        self._load = plan_feed(self.train_dataset, self.data_collator, self.args)
        self._feed: Iterator[Any] = iter(())

    @property
    def explains(self) -> bool:
        return self.run.prepared.explains

    def _features_folder(self) -> Path | None:
        """None where nothing that says something of samples may lie on disk."""
        kept = self.run.prepared.config.dataflex.keep.scores
        return Path(self.args.output_dir) / "dataflex" / "features" if kept else None

    def get_train_dataloader(self) -> Any:
        """A loader that is never read: the loop takes an epoch's length from it."""
        known = self.run.budget
        steps = -(-known.pool // known.global_batch)
        unread: DataLoader[Any] = DataLoader(range(steps * known.global_batch), batch_size=self.args.train_batch_size)  # type: ignore[arg-type]  # a range is map-style
        return self.accelerator.prepare(unread)

    def source(self, epoch_iterator: Iterator[Any], num_batches: int) -> tuple[Iterator[Any], int]:
        """The plan in force, from the step under way on."""
        return self._feed, self.args.gradient_accumulation_steps

    def begin_interval(self, interval: Interval) -> None:
        """Have the planner decide, check that all ranks decided alike, and journal it. Collective.

        Raises `RanksDisagree`, and what `Planner.decide` raises.
        """
        began, waited = time.monotonic(), Clock()
        signals = None if interval.is_warmup else cast("Signals", TimedSignals(self.signals(), waited))
        progress, before = self.progress(interval), self.planner.plan
        try:
            with self.asking(*(slot for slot in (MIXER, SELECTOR) if slot in self.run.strategies)):
                plan = self.planner.decide(interval, progress, signals)
        except (DataError, StrategyFault) as error:
            if weights_are_dead(self.model):  # nobody can judge by such a model
                raise diverged(self.state.global_step, "its weights are not finite") from error
            raise
        agree(plan, self.run.prepared.strategies, self.ranks, self.state.global_step)
        self._feed = self._fed_from(plan, interval.start)
        scored = plan.judged if plan.exact is None else int(plan.exact.sum())
        why = self._reasons(plan, scored, waited)
        cost = cost_of_decision(
            self.run.prepared.strategies.get(SELECTOR),
            self.run.budget,
            decision=interval.decision,
            judged=scored,
            explaining=why.gradients,
        )
        mixer = self.run.prepared.strategies.get(MIXER)
        cost += cost_of_mixing(mixer, self.run.budget, decision=interval.decision)
        cost += cost_of_features(self._features.passed(), self.run.budget.global_batch)
        seconds = time.monotonic() - began
        took = Took(seconds=seconds, signals=waited.seconds, cost=cost, explained=why.explained)
        self._record(plan, progress, took, before)
        if self.texts is not None:
            self.texts.decided(interval, why.shown)
        if self.tables is not None:
            self.tables.decided(plan)
        super().begin_interval(interval)

    def _reasons(self, plan: Plan, scored: int, waited: Clock) -> Why:
        """What is shown of a plan, for which so many samples were ``scored``, with what is known of why. Collective.

        ``waited`` runs while facts about the model are asked for.
        """
        shown, prepared, heard = [], self.run.prepared, self.planner.heard
        if self.texts is not None:
            shown = self.texts.shown(plan)
        if heard.has_losses and prepared.shows_scores:
            with waited.running():
                shown = with_losses(shown, heard, self.ranks)
        if heard.influence is None or not self.explains:
            return Why(shown=shown)
        budget, decision = self.run.budget, plan.interval.decision
        taken = int(cost_of_judging(prepared.strategies[SELECTOR], budget, decision=decision, judged=scored))
        with waited.running():
            return with_helps(shown, heard, self.ranks, self.signals(), dict(budget.targets), taken)

    def _fed_from(self, plan: Plan, step: int) -> Iterator[Any]:
        """This rank's batches of the plan, from optimizer step ``step`` on."""
        batches = rank_batches(
            plan.ids[(step - plan.interval.start) * self.run.budget.global_batch :],
            micro_batches=self.args.gradient_accumulation_steps,
            # `_train_batch_size` is the checkpoint's, whatever the run's is, in transformers before 5.2.
            batch_size=self.args.train_batch_size,
            rank=self.ranks.rank,
            world=self.ranks.world,
        )
        return self._load(batches)

    def planner_state(self) -> dict[str, Any]:
        return self.planner.state()

    def take_up_plan(self, state: Mapping[str, Any] | None) -> None:
        if state is not None and not self.planner.load(state):
            said = "plans are made anew: those of the checkpoint keep domains apart, or do not, other than this run's"
            self.run.journal.notice(said)
        plan = self.planner.plan
        if plan is None or len(plan.ids) != plan.interval.steps * self.run.budget.global_batch:
            # Planned by nobody, or for another global batch: the next step begins an interval.
            self.interval = None
        else:
            self._feed = self._fed_from(plan, self.state.global_step)

    def loss_weights(self) -> NDArray[np.float64] | None:
        return None if self.planner.plan is None else self.planner.plan.loss_weights

    def planned_ids(self) -> NDArray[np.int64] | None:
        return None if self.planner.plan is None else self.planner.plan.ids.copy()

    def trained_ids(self) -> NDArray[np.int64]:
        """By the plan, in its order: no rank has to ask the others."""
        plan, batch = self.planner.plan, self.run.budget.global_batch
        assert plan is not None, "no step is trained without a plan"
        first = (self.state.global_step - 1 - plan.interval.start) * batch
        return plan.ids[first : first + batch]

    def ids_ahead(self, count: int) -> NDArray[np.int64] | None:
        plan, batch = self.planner.plan, self.run.budget.global_batch
        if plan is None:
            return None
        steps, at = max(1, count // batch), self.state.global_step - plan.interval.start
        first = at - at % steps
        return plan.ids[first * batch : (first + steps) * batch]

    def proportions(self) -> NDArray[np.float64]:
        """Those of the plan in force, Float64[K]."""
        assert self.planner.plan is not None, "no step is trained without a plan"
        return self.planner.plan.proportions.copy()

    def _record(self, plan: Plan, progress: Progress, took: Took, before: Plan | None) -> None:
        lengths = self.signals().lengths if plan.scored is not None else None
        event = decision_of(plan, self.run.budget.domains, progress, took, before=before, lengths=lengths)
        for slot, notes in plan.notes.items():
            self.figures.add(noted(slot, notes))
        self.run.journal.write(event)
        for remark in plan.remarks:
            self.run.journal.notice(remark)
        if plan.scored is not None:
            self.run.scores.write(plan.interval.decision, *plan.scored, plan.ids, step=plan.interval.start)
