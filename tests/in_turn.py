"""A plugin of two strategies that are all of ours in turn: a run has one selector and one mixer, and this test all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from typing_extensions import Doc

from dataflex_core import Kind, Mixer, Need, ReferenceModel, Selector, StrategySpec, hookimpl
from dataflex_core.catalog import Record, discover
from dataflex_core.config import params
from dataflex_core.prepared import Chosen, choose, make_strategy

DIES_AT = "DATAFLEX_TEST_DIES_AT"
"""The decision at which rank 1 is killed; unset: at none."""
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "cluster-less": {"cluster_size": 20},
    "column": {"column": "quality"},
    "nice": {"mc_samples": 2, "max_new_tokens": 3, "reward": "rouge-l"},
    "static": {"proportions": [2.0, 1.0]},
}


@hookimpl
def dataflex_strategies() -> Iterator[StrategySpec]:
    """A selector and a mixer of one name."""
    for kind, target in ((Kind.SELECTOR, "Selecting"), (Kind.MIXER, "Mixing")):
        yield StrategySpec(
            kind=kind,
            name="in-turn",
            target=f"in_turn:{target}",
            params="in_turn:InTurnParams",
            summary="every one of this kind, a decision each",
            needs_for=f"in_turn:needs_of_{kind}s",
            whole_pool=kind is Kind.SELECTOR,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InTurnParams:
    """What all strategies that have one are given."""

    reference_model: Annotated[ReferenceModel, Doc("trained elsewhere")]


def every(kind: Kind, reference: str) -> dict[str, Chosen]:
    """All of a kind that are ours, by name."""
    records = [record for record in discover().of_kind(kind) if record.distribution == "dataflex-strategies"]
    return {record.spec.name: _chosen(record, reference) for record in records}


def _chosen(record: Record, reference: str) -> Chosen:
    owner, kind = record.spec.name, record.load_params()
    values = dict(GIVEN.get(owner, {}))
    if any(parameter.name == "reference_model" for parameter in params.describe(kind)):
        values["reference_model"] = reference
    return choose(record, params.validate(kind, values, owner=owner))


def needs_of_selectors(own: InTurnParams) -> frozenset[Need]:
    """Of all of them."""
    return frozenset().union(*(one.needs for one in every(Kind.SELECTOR, own.reference_model).values()))


def needs_of_mixers(own: InTurnParams) -> frozenset[Need]:
    """Of all of them."""
    return frozenset().union(*(one.needs for one in every(Kind.MIXER, own.reference_model).values()))


class _InTurn:
    """Hands on what it is asked to the one whose turn it is, and what it is told to all."""

    kind: Kind
    params: InTurnParams

    def setup(self, context: Any) -> None:
        """Of all."""
        chosen = every(self.kind, self.params.reference_model)
        self._all = {name: make_strategy(one) for name, one in sorted(chosen.items())}
        for strategy in self._all.values():
            strategy.setup(context)

    def observe(self, step: Any) -> None:
        """All learn."""
        for strategy in self._all.values():
            strategy.observe(step)

    def state_dict(self) -> dict[str, Any]:
        """Of all, by name."""
        return {name: strategy.state_dict() for name, strategy in self._all.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Of all."""
        for name, strategy in self._all.items():
            strategy.load_state_dict(state[name])

    def due(self, decision: int) -> Any:
        """Whose turn it is at a decision, from 1."""
        return list(self._all.values())[(decision - 1) % len(self._all)]


class Selecting(_InTurn, Selector[InTurnParams]):
    """All selectors."""

    kind = Kind.SELECTOR

    def select(self, request: Any) -> Any:
        """As the one whose turn it is."""
        if os.environ.get(DIES_AT) == str(request.progress.decision) and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.due(request.progress.decision).select(request)


class Mixing(_InTurn, Mixer[InTurnParams]):
    """All mixers."""

    kind = Kind.MIXER

    def mix(self, request: Any) -> Any:
        """As the one whose turn it is."""
        return self.due(request.progress.decision).mix(request)
