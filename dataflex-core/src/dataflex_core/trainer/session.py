"""The state of one run in one process, shared by the trainers that compose it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dataflex_core.errors import StrategyFault
from dataflex_core.journal import Journal
from dataflex_core.outline import Outline
from dataflex_core.prepare import PreparedRun
from dataflex_core.spec import Kind, Need
from dataflex_core.strategy import Mixer, Selector, SetupContext, Strategy, Weighter

_CONTRACTS: dict[Kind, type[Strategy[Any]]] = {Kind.SELECTOR: Selector, Kind.MIXER: Mixer, Kind.WEIGHTER: Weighter}


def make_strategies(prepared: PreparedRun) -> dict[Kind, Strategy[Any]]:
    """Import and build each strategy. Raises `StrategyFault` for one that is no implementation of its contract."""
    made: dict[Kind, Strategy[Any]] = {}
    for kind, chosen in prepared.strategies.items():
        implementation = chosen.record.load()
        contract = _CONTRACTS[kind]
        if not isinstance(implementation, type) or not issubclass(implementation, contract):
            raise StrategyFault(f"{chosen.title}: {chosen.record.spec.target} is no {contract.__name__}")
        missing = sorted(getattr(implementation, "__abstractmethods__", ()))
        if missing:
            raise StrategyFault(f"{chosen.title}: {implementation.__name__} lacks {', '.join(missing)}()")
        observes = issubclass(implementation, Mixer) and implementation.observe is not Mixer.observe
        if observes and Need.TRAINING_LOSSES not in chosen.record.spec.needs:
            raise StrategyFault(
                f"{chosen.title} observes training losses and does not declare it",
                hint="add Need.TRAINING_LOSSES to the needs of its StrategySpec",
            )
        made[kind] = implementation(chosen.params)
    return made


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

    def set_up(self, outline: Outline, targets: dict[str, Any]) -> None:
        """The data is loaded: the strategies learn what the run is."""
        self.outline, self.targets = outline, targets
        context = SetupContext(
            domains=outline.domains,
            targets=tuple(name for name, _ in outline.targets),
            total_steps=outline.schedule.total_steps,
            seed=self.seed,
        )
        for strategy in self.strategies.values():
            strategy.setup(context)

    def known(self) -> Outline:
        """The outline, once the data is loaded."""
        assert self.outline is not None, "the data is not loaded yet"
        return self.outline
