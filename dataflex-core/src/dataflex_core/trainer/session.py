"""The state of one run in one process, shared by the trainers that compose it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflex_core.checkpoint import read_state
from dataflex_core.contracts import make_strategy
from dataflex_core.errors import InvalidConfig
from dataflex_core.journal import Journal
from dataflex_core.outline import Outline
from dataflex_core.prepare import PreparedRun
from dataflex_core.spec import Kind
from dataflex_core.strategy import SetupContext, Strategy
from dataflex_core.trainer.identity import PARTS, differences, identity_of


def make_strategies(prepared: PreparedRun) -> dict[Kind, Strategy[Any]]:
    """Import and build each strategy. Raises `StrategyFault` for one that is no implementation of its contract."""
    return {kind: make_strategy(chosen) for kind, chosen in prepared.strategies.items()}


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One run in one process."""

    prepared: PreparedRun
    journal: Journal
    seed: int
    strategies: dict[Kind, Strategy[Any]] = field(default_factory=dict)
    outline: Outline | None = None
    targets: dict[str, Any] = field(default_factory=dict)
    """Target data sets by name, tokenised."""
    pool: Any = None
    """The training data set, tokenised."""
    resumed: dict[str, Any] | None = None
    """The state of the checkpoint that the run goes on from."""
    changed: set[str] = field(default_factory=set)
    """The parts in which the run is allowed to differ from that one, and does."""
    _identity: dict[str, dict[str, Any]] | None = None

    def set_up(self, outline: Outline, pool: Any, targets: dict[str, Any]) -> None:
        """The data is loaded: the strategies learn what the run is."""
        self.outline, self.pool, self.targets = outline, pool, targets
        context = SetupContext(
            domains=outline.domains,
            targets=tuple(name for name, _ in outline.targets),
            total_steps=outline.schedule.total_steps,
            seed=self.seed,
        )
        for strategy in self.strategies.values():
            strategy.setup(context)

    def identity(self) -> dict[str, dict[str, Any]]:
        """What the run is, worked out once."""
        if self._identity is None:
            self._identity = identity_of(self.prepared, self.known(), self.pool, self.targets, seed=self.seed)
        return self._identity

    def go_on_from(self, checkpoint: Path) -> None:
        """Read a checkpoint. Raises `InvalidConfig` where this is another run than the one that wrote it."""
        state = read_state(checkpoint)
        allowed = set(self.prepared.config.dataflex.allow_changed)
        faults = []
        for part in PARTS:
            told = differences(state["identity"], self.identity(), part)
            if told and part not in allowed:
                faults.append((part, "; ".join(told)))
            elif told:
                self.changed.add(part)
        if faults:
            parts, texts = zip(*faults, strict=True)
            raise InvalidConfig(
                f"{checkpoint} was written by another run: {'; '.join(texts)}",
                hint=f"add {' '.join(f'--allow-changed {part}' for part in parts)} to go on all the same, "
                "or choose another output_dir",
            )
        self.resumed = state
        journal = checkpoint.parent / "dataflex" / "journal.jsonl"
        self.journal.go_on(journal, state["journal"], step=state["step"], checkpoint=str(checkpoint))
        for text in differences(state["identity"], self.identity(), "versions"):
            self.journal.notice(f"the checkpoint is of other versions: {text}")

    def known(self) -> Outline:
        """The outline, once the data is loaded."""
        assert self.outline is not None, "the data is not loaded yet"
        return self.outline
