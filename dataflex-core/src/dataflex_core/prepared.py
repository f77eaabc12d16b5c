"""A run that is known to be possible, as values: its configuration, and its strategies with their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataflex_core.catalog import Record
from dataflex_core.config.config import RunConfig
from dataflex_core.contracts import Mixer, Selector, Strategy, Weighter
from dataflex_core.errors import StrategyFault
from dataflex_core.spec import Kind, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A strategy with its parameters, validated."""

    record: Record
    params: Any

    @property
    def title(self) -> str:
        """For people: kind, name, distribution and version."""
        return f"{self.record.spec.kind} {self.record.spec.name} ({self.record.distribution} {self.record.version})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A run whose configuration, strategies, parameters and needs have been checked."""

    config: RunConfig
    strategies: Mapping[Kind, Chosen]

    @property
    def plans(self) -> bool:
        """Whether DataFlex, not LLaMA-Factory, decides the order of samples."""
        return Kind.SELECTOR in self.strategies or Kind.MIXER in self.strategies


_CONTRACTS: dict[Kind, type[Strategy[Any]]] = {Kind.SELECTOR: Selector, Kind.MIXER: Mixer, Kind.WEIGHTER: Weighter}


def make_strategy(chosen: Chosen) -> Strategy[Any]:
    """Import and build a strategy. Raises `StrategyFault` for one that is no implementation of its contract."""
    spec = chosen.record.spec
    implementation, contract = chosen.record.load(), _CONTRACTS[spec.kind]
    if not isinstance(implementation, type) or not issubclass(implementation, contract):
        raise StrategyFault(f"{chosen.title}: {spec.target} is no {contract.__name__}")
    missing = sorted(getattr(implementation, "__abstractmethods__", ()))
    if missing:
        raise StrategyFault(f"{chosen.title}: {implementation.__name__} lacks {', '.join(missing)}()")
    observes = issubclass(implementation, Mixer) and implementation.observe is not Mixer.observe
    if observes and Need.TRAINING_LOSSES not in spec.needs:
        raise StrategyFault(
            f"{chosen.title} observes training losses and does not declare it",
            hint="add Need.TRAINING_LOSSES to the needs of its StrategySpec",
        )
    return implementation(chosen.params)
