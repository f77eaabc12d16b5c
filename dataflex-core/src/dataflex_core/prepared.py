"""A run that is known to be possible, as values: its configuration, and its strategies with their parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import total_ordering
from typing import Any

from dataflex_core.catalog import Record, RuleRecord
from dataflex_core.config.section import SECTION, RunConfig
from dataflex_core.contract_check import what_does_not_fit
from dataflex_core.contracts import Mixer, ScoringSelector, Selector, Strategy, Weighter
from dataflex_core.errors import InvalidConfig, StrategyFault, UsageError
from dataflex_core.references import reference_models
from dataflex_core.requests import CheckRequest, Cost, CostRequest
from dataflex_core.spec import FORWARD, Kind, Need, cost_of_needs, with_implied
from dataflex_core.strategy_faults import named, place_of_class

_CONTRACTS: dict[Kind, type[Strategy[Any]]] = {Kind.SELECTOR: Selector, Kind.MIXER: Mixer, Kind.WEIGHTER: Weighter}
_JUDGING = frozenset({Need.LOSSES, Need.EMBEDDINGS})  # what a reference model is asked of a candidate


@total_ordering
@dataclass(frozen=True, slots=True)
class Slot:
    """A strategy's place in a run: its kind, and its position among several of that kind, from 0.

    As text ``weighter``, ``weighter.1``, and so on: the key of its state, its random numbers and its parameters.
    """

    kind: Kind
    position: int = 0

    def __str__(self) -> str:
        return self.kind.value if self.position == 0 else f"{self.kind.value}.{self.position}"

    def __lt__(self, other: Slot) -> bool:
        kinds = list(Kind)
        return (kinds.index(self.kind), self.position) < (kinds.index(other.kind), other.position)


SELECTOR, MIXER = Slot(Kind.SELECTOR), Slot(Kind.MIXER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A strategy with its parameters, validated, and all that it needs for them."""

    record: Record
    params: Any
    needs: frozenset[Need]

    @property
    def title(self) -> str:
        """For people: kind, name, distribution and version."""
        return title_of(self.record)

    @property
    def references(self) -> Mapping[str, str]:
        """The reference models that its parameters name, by parameter."""
        return reference_models(self.params)

    def check(self, request: CheckRequest) -> None:
        """Raises what its spec's ``check`` does: `UsageError` where its parameters do not fit the run."""
        if self.record.spec.check is not None:
            check = self.record.load_from(self.record.spec.check)
            with named({self.title: check}, "asked whether its parameters fit"):
                check(self.params, request)

    def cost(self, decision: int = 1, *, layers: int | None = None) -> float:
        """What judging one candidate costs at a decision, in plain training steps of one sample.

        ``layers`` are the model's transformer layers, where they are known.
        """
        return self._cost(decision, layers).candidate

    def target_cost(self, decision: int = 1, *, layers: int | None = None) -> float:
        """Likewise one sample of the target set; 0 where none is needed."""
        if Need.TARGET_SET not in self.needs:
            return 0.0
        cost = self._cost(decision, layers)
        return cost.candidate if cost.target is None else cost.target

    def mixing_cost(
        self, decision: int = 1, *, layers: int | None = None, domains: int, holdout: int, targets: int
    ) -> float:
        """What a mixer's questions cost at a decision, in plain training steps of one sample.

        ``holdout`` and ``targets`` count samples: of a target set, and held out, each counts where it needs it.
        """
        cost = self._cost(decision, layers, domains)
        asked = holdout if Need.HOLDOUT in self.needs else 0
        return cost.decision + asked * cost.candidate + targets * self.target_cost(decision, layers=layers)

    def _cost(self, decision: int, layers: int | None, domains: int = 1) -> Cost:
        if self.record.spec.cost_of is not None:
            cost = self.record.load_from(self.record.spec.cost_of)
            with named({self.title: cost}, "asked what it costs"):
                answer = cost(self.params, CostRequest(decision=decision, layers=layers, domains=domains))
                return _checked(answer if isinstance(answer, Cost) else Cost(candidate=float(answer)))
        forwards = len(self.references) if self.needs & _JUDGING else 0
        return Cost(candidate=cost_of_needs(self.needs) + forwards * FORWARD)

    @property
    def scores(self) -> bool:
        """Whether it is a selector that scores samples one by one."""
        implementation = self.record.load()
        return isinstance(implementation, type) and issubclass(implementation, ScoringSelector)

    @property
    def predictable(self) -> bool:
        """Whether it scores samples one by one, and scores may be predicted."""
        return self.scores and self.record.spec.predictable

    @property
    def compares(self) -> bool:
        """Whether it is a weighter whose weights depend on the other samples of their window."""
        return self.record.spec.kind is Kind.WEIGHTER and self.record.spec.compares


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A run whose configuration, strategies, parameters and needs have been checked. ``rules`` are the plugins'."""

    config: RunConfig
    strategies: Mapping[Slot, Chosen]
    rules: tuple[RuleRecord, ...] = ()

    @property
    def plans(self) -> bool:
        """Whether DataFlex, not LLaMA-Factory, decides the order of samples."""
        return SELECTOR in self.strategies or MIXER in self.strategies

    @property
    def predicts(self) -> bool:
        """Whether scores of candidates are predicted: asked for, and the selector has some that can be."""
        selector = self.strategies.get(SELECTOR)
        return self.config.dataflex.predicts and selector is not None and selector.predictable

    def remarks(self) -> Iterator[UsageError]:
        """What of our own section has no effect with these strategies. It may have been written for another selector.

        Each is an error that nobody raises.
        """
        selector = self.strategies.get(SELECTOR)
        if selector is not None and self.config.dataflex.predicts and not self.predicts:
            why = "its scores cannot be predicted" if selector.scores else "it does not score samples one by one"
            said = f"{SECTION}.exact has no effect beside {selector.title}: {why}"
            yield InvalidConfig(said, hint=f"leave it out, or set {SECTION}.exact: all", key=(SECTION, "exact"))
        if self.config.dataflex.holdout is not None and not self.needs(Need.HOLDOUT):
            said = f"{SECTION}.holdout keeps samples out of training, and no strategy asks for them"
            yield InvalidConfig(said, hint="leave it out, to train on all", key=(SECTION, "holdout"))

    @property
    def takes_token_losses(self) -> bool:
        """Whether the training loss is computed token by token: a strategy, or the configuration, asks for it."""
        return self.needs(Need.TRAINING_LOSSES) or self.config.dataflex.loss_by_domain is True

    @property
    def shows_scores(self) -> bool:
        """Whether texts are kept for people to read, and what was found out about them, too."""
        return self.config.dataflex.keep.texts and self.config.dataflex.keep.scores

    @property
    def explains(self) -> bool:
        """Whether it is worked out which target samples those that people are shown help most."""
        selector = self.strategies.get(SELECTOR)
        needs = frozenset() if selector is None else selector.needs
        return self.shows_scores and {Need.GRADIENTS, Need.TARGET_SET} <= needs

    def needs(self, need: Need) -> bool:
        """Whether any strategy has that need."""
        return any(need in chosen.needs for chosen in self.strategies.values())


def _checked(cost: Cost) -> Cost:
    for part in fields(cost):
        value = getattr(cost, part.name)
        if value is not None and not 0 <= value < math.inf:
            raise StrategyFault(f"it gives {value!r} for {part.name}", hint="give finite numbers >= 0, see Cost")
    return cost


def choose(record: Record, params: Any) -> Chosen:
    """A strategy with validated parameters, and what it needs, by its declaration, its kind and what it overrides.

    Imports it. Raises `StrategyFault` for one that is no implementation of its contract.
    """
    spec, implementation = record.spec, implementation_of(record)
    needs = frozenset(spec.needs)
    if spec.needs_for is not None:
        needs_for = record.load_from(spec.needs_for)
        with named({title_of(record): needs_for}, "asked what it needs"):
            needs |= {Need(need) for need in needs_for(params)}
    needs = with_implied(spec.kind, needs, observes=implementation.observe is not Strategy.observe)
    chosen = Chosen(record=record, params=params, needs=needs)
    if Need.REFERENCE_LOSSES in needs and len(chosen.references) != 1:
        raise StrategyFault(
            f"{chosen.title} needs reference losses, and its parameters name {len(chosen.references)} reference models",
            hint="annotate one parameter as ReferenceModel",
        )
    return chosen


def implementation_of(record: Record) -> type[Strategy[Any]]:
    """The class of a strategy. Raises `StrategyFault` for one that is no implementation of its contract."""
    spec = record.spec
    implementation, contract = record.load(), _CONTRACTS[spec.kind]
    title = title_of(record)
    if not isinstance(implementation, type) or not issubclass(implementation, contract):
        hint = f"let it be a class that extends dataflex_core.{contract.__name__}"
        raise StrategyFault(f"{title}: {spec.target} is no {contract.__name__}", hint=hint)
    if wrong := what_does_not_fit(implementation, contract):
        place = place_of_class(implementation)
        hint = f"see dataflex_core.{contract.__name__} for what is called, and with what"
        raise StrategyFault(f"{title}: {implementation.__name__} {wrong}, at {place}", hint=hint)
    return implementation


def title_of(record: Record) -> str:
    """For people: kind, name, distribution and version."""
    return f"{record.spec.kind} {record.spec.name} ({record.distribution} {record.version})"


def make_strategy(chosen: Chosen) -> Strategy[Any]:
    """Build a strategy. Raises `StrategyFault` for one that does not fit its contract, or raises as it is built."""
    implementation = implementation_of(chosen.record)
    with named({chosen.title: implementation}, "as it is built"):
        return implementation(chosen.params)
