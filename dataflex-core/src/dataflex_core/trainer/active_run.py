"""One run in one process, shared by the trainers that compose it: strategies, data, budget, journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dataflex_core.asking import asked
from dataflex_core.contracts import Strategy
from dataflex_core.errors import InvalidConfig
from dataflex_core.journal.events import Resume
from dataflex_core.journal.mixed import mean_proportions
from dataflex_core.journal.reader import journal_of
from dataflex_core.journal.scores import FOLDER as SCORES
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.start import strategies_of
from dataflex_core.journal.tally import Tally
from dataflex_core.journal.writer import Journal
from dataflex_core.planning.budget import Budget, context_of
from dataflex_core.prepared import MIXER, PreparedRun, Slot, make_strategy
from dataflex_core.rows import Origins
from dataflex_core.trainer.checkpoint_files import read_state
from dataflex_core.trainer.provenance import PARTS, differences, provenance_of


def make_strategies(prepared: PreparedRun) -> dict[Slot, Strategy[Any]]:
    """Import and build each strategy. Raises `StrategyFault` for one that is no implementation of its contract."""
    return {slot: make_strategy(chosen) for slot, chosen in prepared.strategies.items()}


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveRun:
    """One run in one process."""

    prepared: PreparedRun
    journal: Journal
    scores: ScoreFiles
    seed: int
    strategies: dict[Slot, Strategy[Any]] = field(default_factory=dict)
    targets: dict[str, Any] = field(default_factory=dict)
    """Target data sets by name, tokenised."""
    pool: Any = None
    """The training data set, tokenised."""
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Values of the samples of the pool, by their ids, of the columns that the configuration names."""
    origins: Origins | None = None
    """The rows that the samples of the pool are made of; None where nobody knows."""
    target_origins: dict[str, Origins | None] = field(default_factory=dict)
    """Likewise of those of the target sets."""
    holdout: dict[str, Any] = field(default_factory=dict)
    """Samples that are kept out of training, tokenised, by domain."""
    holdout_origins: dict[str, Origins | None] = field(default_factory=dict)
    """The rows that those are made of."""
    resumed: dict[str, Any] | None = None
    """The state of the checkpoint that the run goes on from."""
    source: Path | None = None
    """The folder of the journal that it goes on from."""
    tally: Tally = field(default_factory=Tally)
    """What the run has come to, from its events: of the rank that writes the journal."""
    is_tracked: bool = False
    """Whether a tracker shows what is logged."""
    changed: set[str] = field(default_factory=set)
    """The parts in which the run is allowed to differ from that one, and does."""
    doubts: list[str] = field(default_factory=list)
    """What there is to say of another run that a strategy went by as it was set up."""
    _budget: Budget | None = None
    _provenance: dict[str, dict[str, Any]] | None = None

    def set_up(
        self, budget: Budget, pool: Any, targets: dict[str, Any], columns: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        """The data is loaded: the strategies learn what the run is."""
        self._budget, self.pool, self.targets = budget, pool, targets
        self.columns = {} if columns is None else dict(columns)
        for values in self.columns.values():
            values.flags.writeable = False  # all strategies are given the same
        mixed = MIXER in self.prepared.strategies
        unit = "samples" if budget.mean_tokens is None else "tokens"
        earlier = partial(mean_proportions, unit=unit, doubts=self.doubts.append)
        context = context_of(budget, mixed=mixed, seed=self.seed, columns=self.columns, earlier=earlier)
        for slot, strategy in self.strategies.items():
            with self.asking("in setup()", slot):
                strategy.setup(context)

    def asking(self, when: str, *slots: Slot) -> AbstractContextManager[None]:
        """For a block that asks the strategies at ``slots``: an error of one names it, ``when``, and the line."""
        return asked({self.prepared.strategies[slot].title: self.strategies[slot] for slot in slots}, when)

    def provenance(self) -> dict[str, dict[str, Any]]:
        """What the run is, worked out once."""
        if self._provenance is None:
            self._provenance = provenance_of(
                self.prepared,
                self.budget,
                self.pool,
                self.targets,
                holdout=self.holdout,
                columns=self.columns,
                seed=self.seed,
            )
        return self._provenance

    def go_on_from(self, checkpoint: Path) -> None:
        """Read a checkpoint. Raises `InvalidConfig` where this is another run than the one that wrote it."""
        state = read_state(checkpoint)
        allowed = set(self.prepared.config.dataflex.allow_changed)
        faults, changes = [], []
        for part in PARTS:
            told = differences(state["provenance"], self.provenance(), part)
            if told and part not in allowed:
                faults.append((part, "; ".join(told)))
            elif told:
                self.changed.add(part)
                changes += told if part != "data" else []
        if faults:
            parts, texts = zip(*faults, strict=True)
            raise InvalidConfig(
                f"{checkpoint} was written by another run: {'; '.join(texts)}",
                hint=f"add {' '.join(f'--allow-changed {part}' for part in parts)} to go on all the same, "
                "or choose another output_dir",
            )
        journal = journal_of(checkpoint.parent / "dataflex", state["run"])
        self.resumed, self.source = state, journal.parent
        domains = {domain.name: domain.size for domain in self.budget.domains} if "data" in self.changed else None
        resume = Resume(
            step=state["step"],
            checkpoint=str(checkpoint),
            domains=domains,
            strategies=strategies_of(self.prepared) if self.changed & {"strategies", "parameters"} else None,
            changed=tuple(changes),
        )
        self.journal.go_on(journal, state["journal"], resume)
        if "scores" in state:
            self.scores.go_on(journal.parent / SCORES, state["scores"])
        for text in differences(state["provenance"], self.provenance(), "versions"):
            self.journal.notice(f"the checkpoint is of other versions: {text}")

    @property
    def budget(self) -> Budget:
        """What the run has to work with; known once the data is loaded."""
        assert self._budget is not None, "the data is not loaded yet"
        return self._budget

    def lasts(self, steps: int) -> None:
        """The number of optimizer steps is final."""
        schedule = dataclasses.replace(self.budget.schedule, total_steps=steps)
        self._budget = dataclasses.replace(self.budget, schedule=schedule)
